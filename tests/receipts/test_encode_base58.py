import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.base58 import decode, encode


@given(st.binary(max_size=64))
def test_it_reads_back_what_it_wrote(data):
    assert decode(encode(data)) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        # draft-msporny-base58-03, section 5
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (
            b"The quick brown fox jumps over the lazy dog.",
            "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
        ),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
        (b"", ""),
        (b"\0\0", "11"),
    ],
)
def test_it_writes_the_published_examples(data, text):
    assert encode(data) == text


@pytest.mark.parametrize("char", ["0", "O", "I", "l", " ", "é"])
def test_it_refuses_characters_outside_the_alphabet(char):
    with pytest.raises(ValueError, match="not a base58 character"):
        decode(f"2NE{char}")
