import logging

import pytest

from lucid.safe_logging import SafeFormatter, without_secrets

PUBLIC = "lk_live_0123456789"
KEY = f"{PUBLIC}abcdefghijABCDEFGHIJ0123456789xy"
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhY21lIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        (f"Not Found: /v1/receipts/{KEY}", f"Not Found: /v1/receipts/{PUBLIC}…"),
        (f"{KEY}, {KEY}", f"{PUBLIC}…, {PUBLIC}…"),
        (f"Bearer {TOKEN}!", "Bearer [token]!"),
        (
            f"Invalid request from ip=::1: Invalid HTTP Version: 'HTTP/9 {KEY}'",
            "Invalid request from ip=::1: Invalid HTTP Version",
        ),
        (
            "Invalid request from ip=::1: Invalid HTTP Header: 'Cookie: a\nb'",
            "Invalid request from ip=::1: Invalid HTTP Header",
        ),
        ("key lk_live_0123456789 is revoked", "key lk_live_0123456789 is revoked"),
    ],
)
def test_what_a_request_quotes_is_no_secret(text, logged):
    assert without_secrets(text) == logged


def test_a_traceback_has_none_either():
    try:
        raise ValueError(f"no such key: {KEY}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x", 1, "%s", (KEY,), (ValueError, error, None)
        )
    text = SafeFormatter("%(message)s").format(record)
    assert text == f"{PUBLIC}…\nValueError: no such key: {PUBLIC}…"


def test_every_log_of_ours_is_written_so(settings):
    assert settings.LOGGING["formatters"]["line"]["class"].endswith("SafeFormatter")
    assert list(settings.LOGGING["formatters"]) == ["line"]
