"""Messages of providers without the credential that some of them quote."""

REMOVED = "[removed]"


def quotable(message: str, credential: str) -> str:
    """Return a message without the words that quote a credential.

    Providers quote them shortened, too, as `sk-proj-****wxyz`: whatever has the first
    or the last characters of the credential goes.
    """
    printable = "".join(c if c.isprintable() else " " for c in message)
    ends = {credential[:4], credential[-4:]} - {""}
    words = (
        REMOVED if any(end in word for end in ends) else word
        for word in printable.split()
    )
    return " ".join(words)
