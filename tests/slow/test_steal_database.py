"""Who has the database's dump and this code has no usable key of any kind."""

import hashlib
import hmac
import re
from typing import Any

import pytest
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from tests.slow.browser import Browser
from tests.slow.client import Client
from tests.slow.database_dump import Dump
from tests.slow.full_run import spellings
from tests.slow.server import Server

pytestmark = pytest.mark.slow

MOST_TRIED = 5_000


class Thief:
    """Has a dump, and takes whatever is in it for a key."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.values = {as_bytes(value) for value in dump.values()}

    def candidates(self) -> set[bytes]:
        """Every 32 bytes that are in the dump, are derived from it, or come to mind."""
        found = {bytes(32), b"\xff" * 32, bytes(range(32))}
        for value in self.values:
            found |= {value[:32].ljust(32, b"\0"), value[-32:].rjust(32, b"\0")}
            found.add(hashlib.sha256(value).digest())
            if re.fullmatch(rb"[0-9a-f]{64}", value):
                found.add(bytes.fromhex(value.decode()))
        return found

    def texts(self) -> list[str]:
        """Everything in the dump that could be sent as a header or a cookie."""
        spelt = {text for value in self.values for text in spellings(value)}
        printable = (text.decode("latin-1") for text in spelt if len(text) <= 500)
        return sorted(text for text in printable if re.fullmatch(r"[!-~]+", text))

    def sealed(self) -> list[tuple[str, bytes]]:
        """Every value that a master key has sealed, by the table that it lies in."""
        names = ("sealed", "sealed_seed")
        return [
            (table, bytes(row[name]))
            for table, rows in self.dump.tables.items()
            for row in rows
            for name in names
            if name in row
        ]


def as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return str(value).encode()


def opens(key: bytes, sealed: bytes) -> bool:
    try:
        SecretBox(key).decrypt(sealed)
    except CryptoError:
        return False
    return True


@pytest.fixture(scope="module")
def thief(full_run, known_installation) -> Thief:
    return Thief(Dump(known_installation.database_url))


@pytest.fixture(scope="module")
def server(full_run, known_installation):
    with known_installation.server() as started, started.client(full_run.account):
        yield started


def test_no_secret_lies_in_it_in_any_spelling(full_run, thief):
    for name, secret in full_run.secrets.items():
        for text in spellings(secret):
            assert text not in thief.dump.raw, name


def test_nothing_in_it_opens_what_is_sealed(full_run, thief):
    sealed = thief.sealed()
    assert {"receipts_signingkey", "orchestrations_providercredential"} <= {
        table for table, _ in sealed
    }
    assert "orchestrations_contentsalts" in {table for table, _ in sealed}
    candidates = thief.candidates()
    [master_key] = [
        it for name, it in full_run.secrets.items() if name == "the master key"
    ]
    for _, value in sealed:
        assert opens(master_key, value)  # what the thief lacks
        assert not any(opens(key, value) for key in candidates)


def test_what_was_sealed_lies_nowhere_else(full_run, thief):
    box = SecretBox(full_run.secrets["the master key"])
    for table, value in thief.sealed():
        for text in spellings(box.decrypt(value)):
            assert text not in thief.dump.raw, table


def test_nothing_in_it_is_the_pepper(full_run, thief):
    """A thief who guesses a key cannot even tell whether the guess is right."""
    rows = thief.dump.tables["tenants_apikey"]
    [row] = [row for row in rows if full_run.account.key.startswith(row["prefix"])]
    key, mac = full_run.account.key.encode(), bytes(row["mac"])
    assert hmac.digest(full_run.secrets["the pepper"], key, "sha256") == mac
    tried = thief.candidates() | thief.values | {b""}
    assert not any(hmac.digest(it, key, "sha256") == mac for it in tried)
    assert mac not in {hashlib.sha256(it).digest() for it in (key, key[18:])}


def test_nothing_in_it_is_taken_for_an_api_key(full_run, thief, server: Server):
    rows = thief.dump.tables["tenants_apikey"]
    made_up = [
        row["prefix"] + text[:32].ljust(32, "0")
        for row in rows
        for text in (bytes(row["mac"]).hex(), row["pepper_id"], "0")
    ]
    texts = [*made_up, *thief.texts()][:MOST_TRIED]
    with Client(server.port) as client:
        for text in texts:
            answer = client._request(
                "GET", "/v1/mmr/root", None, {"Authorization": f"Bearer {text}"}
            )
            assert answer.status == 401, text


def test_no_row_of_a_session_logs_in(full_run, thief, server: Server):
    own = Browser(server.port)
    own.cookies["__Host-sessionid"] = full_run.session
    assert "/admin/logout/" in own.get("/admin/")
    sessions = thief.dump.tables["django_session"]
    assert sessions
    for row in sessions:
        for value in (row["session_key"], row["session_data"]):
            browser = Browser(server.port)
            browser.cookies["__Host-sessionid"] = value
            assert "/admin/logout/" not in browser.get("/admin/")


def test_passwords_are_slow_hashes(full_run, thief):
    hashes = [row["password"] for row in thief.dump.tables["tenants_user"]]
    for text in hashes:
        algorithm, rounds, _, _ = text.split("$")
        assert algorithm == "pbkdf2_sha256"
        assert int(rounds) >= 1_000_000
