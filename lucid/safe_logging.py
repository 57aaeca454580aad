"""Log lines without what clients should not have sent where they sent it.

A key can turn up in an address, or in bytes that are no HTTP: what logs quote of a
request is made unusable here, in tracebacks as well.
"""

import logging
import re

API_KEY = re.compile(r"(lk_(?:live|test)_[0-9A-Za-z]{10})[0-9A-Za-z]+")
TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JWT
# gunicorn quotes what it could not read, a line of a header say.
UNREADABLE = re.compile(r"(Invalid request from ip=\S+: [A-Za-z ]+).*", re.DOTALL)


def without_secrets(text: str) -> str:
    text = UNREADABLE.sub(r"\1", text)
    return TOKEN.sub("[token]", API_KEY.sub(r"\1…", text))


class SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
