"""Whoever has content and salt can show what a receipt's hash is of."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.gateway.content import SaltedHash, new_salt

SALT = bytes(range(16))
CONTENT = b'{"prompt": "Hello"}\n' * 100_000
# printf '\0\1...' | sha256sum, of SALT alone
EMPTY = "be45cb2605bf36bebde684841a28f0fd43c69850a3dce5fedba69928ee3a8991"


def salted(salt, *pieces):
    digest = SaltedHash(salt)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def run(*arguments, content=CONTENT):
    """Run it with the standard library alone: no site packages, no settings."""
    command = [sys.executable, "-S", "-E", "-m", "orchestrations.gateway.content"]
    root = Path(__file__).parents[2]
    return subprocess.run(
        [*command, *arguments], input=content, capture_output=True, cwd=root
    )


def test_a_known_hash():
    assert salted(SALT) == EMPTY


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_it_is_sha256_over_salt_and_content_in_any_pieces(pieces):
    wanted = hashlib.sha256(SALT + b"".join(pieces)).hexdigest()
    assert salted(SALT, *pieces) == wanted
    assert salted(SALT, b"".join(pieces)) == wanted


def test_the_hash_so_far_may_be_asked_for():
    digest = SaltedHash(SALT)
    digest.update(memoryview(b"ab"))
    assert digest.hexdigest() == salted(SALT, b"ab")
    digest.update(bytearray(b"c"))
    assert digest.hexdigest() == salted(SALT, b"abc")


def test_salts_are_sixteen_bytes_and_never_the_same():
    salts = {new_salt() for _ in range(1000)}
    assert len(salts) == 1000
    assert {len(salt) for salt in salts} == {16}


@pytest.mark.parametrize("salt", [b"", b"x" * 15, b"x" * 17])
def test_no_byte_of_content_can_be_taken_for_salt(salt):
    with pytest.raises(ValueError, match="a salt is 16 bytes"):
        SaltedHash(salt)


class TestCommand:
    def test_matches(self):
        result = run(SALT.hex(), salted(SALT, CONTENT))
        assert (result.returncode, result.stdout) == (0, b"MATCHES\n")
        assert result.stderr == b""

    def test_hex_may_be_of_capitals(self):
        assert run(SALT.hex().upper(), salted(SALT, CONTENT).upper()).returncode == 0

    @pytest.mark.parametrize(
        ("salt", "content"), [(SALT, CONTENT[:-1]), (bytes(16), CONTENT), (SALT, b"")]
    )
    def test_differs(self, salt, content):
        result = run(salt.hex(), salted(SALT, CONTENT), content=content)
        assert (result.returncode, result.stdout) == (1, b"DIFFERS\n")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ([], b"the following arguments are required: salt, hash"),
            ([SALT.hex()], b"the following arguments are required: hash"),
            (["12", EMPTY], b"argument salt: '12' is not 16 bytes in hex"),
            (["x" * 32, EMPTY], b"is not 16 bytes in hex"),
            ([SALT.hex(), EMPTY[:-2]], b"is not 32 bytes in hex"),
            ([SALT.hex(), EMPTY, "more"], b"unrecognized arguments: more"),
        ],
    )
    def test_bad_arguments(self, arguments, sentence):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, b"")
        assert sentence in result.stderr
