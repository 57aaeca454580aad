"""Verdicts on a receipt, and the state of the key that signed it, as people read them.

The first word of each pair is the mark: good, warn, bad or open.
"""

from receipts.key_set import ReceiptKey
from receipts.verifier import Verdict

Words = tuple[str, str]

NOT_CHECKED = ("open", "Not checked yet")
REFUSED = {
    Verdict.INVALID: "Not valid: what is stored is not what was signed",
    Verdict.UNSIGNED: "Not valid: nobody has signed it",
    Verdict.UNKNOWN_KEY: "Not valid: this log has no such key",
    Verdict.KEY_REVOKED: "Not valid: the key was revoked before this entry",
    Verdict.NOT_IN_LOG: "Not valid: it is not in the log",
    Verdict.INCONSISTENT: "Not valid: the log has two histories",
    Verdict.CONTENT_ERASED: "Its content was erased",
    Verdict.CONTENT_MISMATCH: "Not valid: the content is another",
}


def verdict_words(
    verdict: Verdict, key: ReceiptKey | None, *, is_reported: bool
) -> Words:
    if verdict != Verdict.VALID:
        return "bad", REFUSED[verdict]
    words = "Valid, reported by the agent" if is_reported else "Valid"
    if key and key.status == "revoked":
        return "warn", f"{words}; key revoked later"
    return "good", words


def key_words(key: ReceiptKey | None, index: int) -> Words:
    """Say whether signatures by the key count at a log index, and where they do."""
    if key is None:
        return "bad", "This log has never had a key of this name."
    if key.is_revoked_at(index):
        return "bad", f"Revoked. {_revoked_range(key)} This receipt is entry {index:,}."
    if not key.counts_at(index):
        return "bad", f"{_range(key)} This receipt is entry {index:,}."
    match key.status:
        case "revoked":
            after = f"This receipt, entry {index:,}, was signed before and counts."
            return "warn", f"Key revoked later. {_revoked_range(key)} {after}"
        case "retired":
            return "", f"Replaced by a newer key. {_range(key)}"
        case _:
            return "", f"In use. {_range(key)}"


def _range(key: ReceiptKey) -> str:
    if key.last_index is None:
        return f"Its signatures count from entry {key.first_index:,} on."
    span = f"{key.first_index:,} to {key.last_index:,}"
    return f"Its signatures count for entries {span}."


def _revoked_range(key: ReceiptKey) -> str:
    if key.last_index is None or key.last_index < key.first_index:
        return "No signature by it counts."
    return _range(key)
