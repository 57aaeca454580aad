"""What is not safe does not start, and the message says what to do."""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from lucid.safe_settings import (
    check_hosts,
    check_keys,
    check_secret_key,
    proxy_networks,
)

ROOT = Path(__file__).resolve().parents[2]
GOOD_SECRET = "vN3xq0ZtX9JmW2rLk8sHfPdA5yGcE7bUoTiQ1jRzMw4hKgVnCxB6DlYS"


def random_key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def repeated(byte):
    return base64.b64encode(byte * 32).decode()


@pytest.fixture
def environment(tmp_path):
    """What a production installation sets."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "LUCID_DATA_DIR": str(tmp_path),
        "LUCID_SECRET_KEY": secrets.token_urlsafe(48),
        "LUCID_MASTER_KEYS": f"m1:{random_key()}",
        "LUCID_API_KEY_PEPPERS": f"p1:{random_key()}",
        "LUCID_ALLOWED_HOSTS": "lucid.acme.test",
    }


def run(environment, *arguments, **settings):
    given = {name: text for name, text in (environment | settings).items() if text}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
    )


ONE_KEY = random_key()
REFUSED = [
    ({"LUCID_SECRET_KEY": ""}, "LUCID_SECRET_KEY is not set"),
    ({"LUCID_SECRET_KEY": "changeme"}, "LUCID_SECRET_KEY is shorter than 50"),
    ({"LUCID_SECRET_KEY": "django-insecure-" + GOOD_SECRET}, "looks like an example"),
    ({"LUCID_MASTER_KEYS": ""}, "LUCID_MASTER_KEYS is not set"),
    ({"LUCID_MASTER_KEYS": f"m1:{repeated(bytes(1))}"}, "openssl rand -base64 32"),
    ({"LUCID_API_KEY_PEPPERS": f"p1:{repeated(b'A')}"}, "LUCID_API_KEY_PEPPERS: p1 is"),
    (
        {"LUCID_MASTER_KEYS": f"m:{ONE_KEY}", "LUCID_API_KEY_PEPPERS": f"p:{ONE_KEY}"},
        "LUCID_API_KEY_PEPPERS: p is the same key as LUCID_MASTER_KEYS: m",
    ),
    ({"LUCID_TRUSTED_PROXIES": "proxy.acme.test"}, "is no address or network such as"),
    ({"LUCID_ALLOWED_HOSTS": "*"}, "LUCID_ALLOWED_HOSTS: * answers for any host"),
    ({"LUCID_DEBUG": "true"}, "Unset LUCID_DEBUG, or serve localhost alone"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_no_command_starts(environment, settings, message):
    done = run(environment, "manage.py", "check", **settings)
    assert done.returncode == 1
    assert done.stderr.startswith("Lucid does not start: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("settings", "message"), [REFUSED[1], REFUSED[4], REFUSED[7], REFUSED[9]]
)
def test_the_server_ends_with_the_message(environment, settings, message):
    command = ["-m", "gunicorn", "-c", "python:lucid.gunicorn", "lucid.wsgi"]
    done = run(environment, *command, PORT="0", **settings)
    assert done.returncode != 0
    assert message in done.stderr
    for name in ("LUCID_SECRET_KEY", "LUCID_MASTER_KEYS", "LUCID_API_KEY_PEPPERS"):
        assert settings.get(name, environment[name]) not in done.stderr


def test_a_production_configuration_is_taken_without_a_warning(environment):
    done = run(environment, "manage.py", "check", "--deploy", "--fail-level", "INFO")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_debug_is_for_this_machine(environment):
    hosts = "localhost,127.0.0.1,[::1],lucid.localhost"
    settings = {"LUCID_DEBUG": "true", "LUCID_ALLOWED_HOSTS": hosts}
    assert run(environment, "manage.py", "check", **settings).returncode == 0


class TestSecretKeys:
    def test_a_random_one_is_taken(self):
        check_secret_key("NAME", GOOD_SECRET)
        for _ in range(100):
            check_secret_key("NAME", secrets.token_urlsafe(48))
            check_secret_key("NAME", secrets.token_hex(32))
            check_secret_key("NAME", base64.b64encode(secrets.token_bytes(48)).decode())

    @pytest.mark.parametrize(
        "value",
        [
            "hunter2",
            GOOD_SECRET[:49],
            "x" * 64,
            "0123456789abcdef" * 4,
            "change-me-" + GOOD_SECRET,
            "CHANGEME" + GOOD_SECRET,
            "your-secret-key-goes-here-and-is-at-least-50-characters-long",
        ],
    )
    def test_an_example_is_refused(self, value):
        with pytest.raises(
            ImproperlyConfigured, match=r"NAME .*Make one with"
        ) as error:
            check_secret_key("NAME", value)
        assert value not in str(error.value)


class TestKeys:
    def test_random_ones_are_taken(self):
        for _ in range(100):
            keys = {name: secrets.token_bytes(32) for name in "abc"}
            check_keys({"MASTER": keys, "PEPPER": {"a": secrets.token_bytes(32)}})

    @pytest.mark.parametrize(
        "key",
        [
            bytes(32),
            b"\xff" * 32,
            b"ab" * 16,
            b"\x9d\x84\xb3\xcd\x63\x55\xd0\xfb" * 4,
            bytes(range(32)),
            bytes(range(100, 132)),
            bytes(range(32, 0, -1)),
            b"this-is-a-32-byte-long-password!",
        ],
    )
    def test_a_pattern_is_refused(self, key):
        with pytest.raises(ImproperlyConfigured, match="MASTER: m1 is an example"):
            check_keys({"MASTER": {"m1": key}})

    def test_one_key_under_two_ids_is_refused(self):
        key = secrets.token_bytes(32)
        with pytest.raises(ImproperlyConfigured, match="MASTER: b is the same key as"):
            check_keys({"MASTER": {"a": key, "b": key}})


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["lucid.acme.test", "10.0.0.1", "192.168.1.1", "[2001:db8::1]", ".acme"]
    )
    def test_debug_with_a_host_that_others_reach_is_refused(self, host):
        check_hosts("HOSTS", [host], debug=False)
        with pytest.raises(ImproperlyConfigured, match="LUCID_DEBUG"):
            check_hosts("HOSTS", ["localhost", host], debug=True)

    @pytest.mark.parametrize("debug", [True, False])
    def test_any_host_is_refused(self, debug):
        with pytest.raises(ImproperlyConfigured, match="any host"):
            check_hosts("HOSTS", ["localhost", "*"], debug=debug)


class TestProxies:
    def test_their_usual_form(self):
        given = ["10.1.2.3/8", " 192.168.0.1 ", "", "2001:db8::/32"]
        assert proxy_networks("PROXIES", given) == [
            "10.0.0.0/8",
            "192.168.0.1/32",
            "2001:db8::/32",
        ]

    @pytest.mark.parametrize("text", ["x", "10.0.0.0/33", "10.0.0", "*", "0.0.0.0/0"])
    def test_what_is_none_is_refused(self, text):
        with pytest.raises(ImproperlyConfigured, match="PROXIES: "):
            proxy_networks("PROXIES", ["10.0.0.0/8", text])
