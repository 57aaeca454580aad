"""Keys of tokens from a URL or file: cached, read again, and kept while that fails."""

import json
import logging
import threading
import time

import pytest

from tenants import key_sources
from tenants.key_sources import NoKeys, file_source, url_source
from tests.caller import RUN
from tests.tenants.issuer import (
    KeyServer,
    claims,
    jwks,
    public_jwk,
    settings_for,
    token,
)

ALGORITHM = "ES256"
ONE, TWO = (public_jwk(ALGORITHM, name) for name in ("one", "two"))


@pytest.fixture
def server():
    with KeyServer().serving() as server:
        server.publish(ONE)
        yield server


@pytest.fixture(autouse=True)
def hope(monkeypatch):
    """On a busy machine an answer may take its time."""
    monkeypatch.setattr(key_sources, "HOPE", 5.0)


@pytest.fixture
def source(server, monkeypatch):
    """A source that may be asked again at once."""
    monkeypatch.setattr(key_sources, "PAUSE", 0.0)
    return url_source(server.url, ALGORITHM, 3600)


def settled(source):
    """Wait until nothing is being read."""
    deadline = time.monotonic() + 10
    while source._under_way and time.monotonic() < deadline:
        time.sleep(0.005)
    assert source._under_way is None


def expire(source):
    source._read_at = time.monotonic() - source._seconds - 1


def call(caller, text):
    body = json.dumps(RUN).encode()
    return caller.request("POST", "/v1/receipts", body, Authorization=f"Bearer {text}")


class TestThroughTheApi:
    @pytest.fixture(autouse=True)
    def configured(self, server, settings):
        settings.LUCID_JWT = settings_for(ALGORITHM, jwks_url=server.url)

    def test_a_token_of_a_published_key_is_taken(self, alice):
        text = token(claims(alice.tenant.pk), ALGORITHM)
        assert call(alice, text).status_code == 200

    def test_a_key_of_the_issuers_that_is_new_is_fetched(
        self, alice, server, monkeypatch
    ):
        monkeypatch.setattr(key_sources, "PAUSE", 0.0)
        call(alice, token(claims(alice.tenant.pk), ALGORITHM))
        server.publish(ONE, TWO)
        text = token(claims(alice.tenant.pk), ALGORITHM, "two")
        assert call(alice, text).status_code == 200
        assert server.asked == 2

    def test_strangers_cannot_make_us_hammer_the_issuer(self, alice, server):
        for number in range(20):
            text = token(claims(alice.tenant.pk), ALGORITHM, kid=f"kid-{number}")
            answer = call(alice, text)
            assert answer.json()["error_code"] == "TOKEN_INVALID"
            assert "unknown here" in answer.json()["message"]
        assert server.asked == 1

    def test_garbage_asks_nobody(self, alice, server):
        for text in ("a.b.c", token(claims(alice.tenant.pk), "RS256"), "x" * 9000):
            assert call(alice, text).status_code == 401
        assert server.asked == 0

    def test_without_any_keys_it_is_503_and_not_the_tokens_fault(self, alice, server):
        server.status = 500
        answer = call(alice, token(claims(alice.tenant.pk), ALGORITHM))
        assert answer.status_code == 503
        assert answer.json()["error_code"] == "UNAVAILABLE"
        assert answer["Retry-After"]


class TestRotation:
    def test_a_set_is_asked_for_once_while_it_is_fresh(self, source, server):
        for _ in range(5):
            assert source.find("one")
        assert server.asked == 1

    def test_an_old_set_serves_while_it_is_read_again(self, source, server):
        source.find("one")
        expire(source)
        server.publish(TWO)
        assert source.find("one")
        settled(source)
        assert source.find("one") is None
        assert source.find("two")

    def test_a_key_taken_out_is_refused(self, source, server):
        server.publish(ONE, TWO)
        assert source.find("two")
        server.publish(ONE)
        expire(source)
        source.find("two")
        settled(source)
        assert source.find("two") is None

    def test_an_unknown_kid_has_it_read_at_most_once_in_a_while(
        self, source, server, monkeypatch
    ):
        source.find("one")
        monkeypatch.setattr(key_sources, "PAUSE", 10.0)
        for _ in range(5):
            assert source.find("two") is None
        assert server.asked == 1
        source._tried_at -= 10
        server.publish(ONE, TWO)
        assert source.find("two")
        assert server.asked == 2

    def test_of_many_threads_one_asks(self, source, server):
        server.delay = 0.1
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(source.find("one")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([key for key in found if key]) == 8
        assert server.asked == 1


class TestTrouble:
    BAD = [
        ("fails", {"status": 500}),
        ("is gone", {"status": 404}),
        ("redirects", {"status": 302}),
        ("hangs", {"delay": 30.0}),
        ("is slow", {"drip": 0.05}),
        ("answers nothing", {"body": b""}),
        ("answers garbage", {"body": b"<html>"}),
        ("answers bytes", {"body": bytes(range(256))}),
        ("answers another JSON", {"body": b'["keys"]'}),
        ("has no keys", {"body": b'{"keys": []}'}),
        ("nests deeply", {"body": b"[" * 100_000}),
        ("is huge", {"body": b" " * (300 << 10)}),
        ("has keys of other uses", {"body": jwks(ONE | {"use": "enc"}).encode()}),
    ]
    KINDS = pytest.mark.parametrize(
        "trouble", [how for _, how in BAD], ids=[name for name, _ in BAD]
    )

    @pytest.fixture
    def impatient(self, monkeypatch):
        return lambda: monkeypatch.setattr(key_sources, "PATIENCE", 1.0)

    def trouble_of(self, server, trouble):
        for name, value in trouble.items():
            setattr(server, name, value)

    @KINDS
    def test_the_old_set_serves_on_and_nobody_waits(
        self, source, server, trouble, caplog, impatient
    ):
        source.find("one")
        impatient()
        expire(source)
        self.trouble_of(server, trouble)
        began = time.monotonic()
        assert source.find("one")
        assert time.monotonic() - began < 0.9
        with caplog.at_level(logging.WARNING):
            settled(source)
        assert source.find("one")
        assert "LUCID_JWT_JWKS_URL: " in caplog.text

    @KINDS
    def test_without_a_set_there_is_none(self, source, server, trouble, impatient):
        impatient()
        self.trouble_of(server, trouble)
        with pytest.raises(NoKeys):
            source.find("one")
        settled(source)

    def test_it_is_over_when_the_server_is_well(self, source, server):
        server.status = 500
        with pytest.raises(NoKeys):
            source.find("one")
        server.status = 200
        settled(source)
        assert source.find("one")

    def test_a_server_that_is_away_is_no_answer(self):
        with pytest.raises(NoKeys):
            url_source("http://127.0.0.1:9/", ALGORITHM, 60).find("one")

    def test_an_old_set_serves_for_a_day_and_no_longer(self, source, server):
        source.find("one")
        server.status = 500
        day = key_sources.MOST_STALE + source._seconds
        source._read_at = time.monotonic() - day + 60
        assert source.find("one")
        settled(source)
        source._read_at = time.monotonic() - day - 1
        with pytest.raises(NoKeys):
            source.find("one")
        settled(source)

    def test_an_unknown_kid_waits_a_little_only(self, source, server, monkeypatch):
        monkeypatch.setattr(key_sources, "HOPE", 0.1)
        source.find("one")
        server.delay = 3.0
        began = time.monotonic()
        assert source.find("two") is None
        assert time.monotonic() - began < 1.5
        server.goes_on.set()
        settled(source)

    def test_a_read_that_never_ends_is_given_up(self, source, server, monkeypatch):
        source.find("one")
        source._under_way = threading.Event()
        expire(source)
        source.find("one")
        assert server.asked == 1
        source._tried_at -= key_sources.ABANDONED
        source.find("one")
        settled(source)
        assert server.asked == 2

    def test_keys_of_other_uses_are_left_out(self, source, server):
        server.publish(
            public_jwk("RS256", "rsa"), TWO | {"use": "enc"}, {"kty": "oct"}, ONE
        )
        assert source.find("one")
        assert source.find("rsa") is None
        assert source.find("two") is None


class TestAFile:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "jwks.json"
        path.write_text(jwks(ONE))
        return path

    @pytest.fixture
    def source(self, path, monkeypatch):
        monkeypatch.setattr(key_sources, "PAUSE", 0.0)
        return file_source(str(path), ALGORITHM, 3600)

    def test_it_is_read_again(self, source, path):
        assert source.find("one")
        path.write_text(jwks(ONE, TWO))
        assert source.find("two")

    def test_while_it_is_bad_the_old_keys_serve(self, source, path, caplog):
        assert source.find("one")
        for bad in (b"{", b"\xff", jwks(public_jwk("RS256", "one")).encode()):
            path.write_bytes(bad)
            expire(source)
            assert source.find("one")
            settled(source)
        path.unlink()
        expire(source)
        source.find("one")
        settled(source)
        assert source.find("one")
        assert caplog.text.count("LUCID_JWT_JWKS_FILE: ") >= 4
