"""Messages of providers without the credential that some of them quote."""

import re
from collections.abc import Callable

REMOVED = "[removed]"
SHORT = 8  # characters


def quotable(message: str, credential: str) -> str:
    """Return a message without the words that quote a credential.

    Providers quote them shortened, too, as `sk-proj-****wxyz`: whatever has the first
    or the last characters of the credential goes.
    """
    printable = "".join(c if c.isprintable() else " " for c in message)
    quotes = _quotes(credential)
    words = (REMOVED if quotes(word) else word for word in printable.split())
    return " ".join(words)


def _quotes(credential: str) -> Callable[[str], object]:
    if len(credential) >= SHORT:
        ends = credential[:4], credential[-4:]
        return lambda word: any(end in word for end in ends)
    # Such as `test`, of a host that takes any: not within other words.
    alone = rf"(?<![A-Za-z0-9]){re.escape(credential)}(?![A-Za-z0-9])"
    return re.compile(alone).search if credential else lambda word: None
