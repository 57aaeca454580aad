"""What a bundle says of itself to whoever opens it."""

README = """\
Evidence from the log {origin}

WHAT IS HERE

  receipts/N.json        Entry N of the log: the receipt, in the very bytes that were
                         signed and logged. One JSON object each.
  proofs/N.tlog-proof    The proof that entry N is in the log (c2sp.org/tlog-proof).
  checkpoint.txt         The head of the log that all proofs lead to, signed by the log.
  keys.txt, keys.json    The keys whose signatures count on receipts, and for which
                         entries: signed by the log, and the same as a JWKS.
  manifest.json          What was asked for, by whom and when, and the SHA-256 of every
                         file.
  manifest.sig           The log's signature on the manifest.
  verify.py              The program that checks all of this.

HOW TO VERIFY

You need Python 3.11 or newer, and its package PyNaCl. You need no connection to
anybody.

  python -m pip install pynacl
  python verify.py

It checks the signature on the manifest, every file, and of every receipt its hash, its
signature, whether its key counted then, and its place in the log. It says VALID and
exits with 0, or says what is wrong and with which file.

verify.py came with what it is to check. It is short enough to read. And it takes the
keys from this bundle, unless you give it the log's key that you know from elsewhere:
from an earlier bundle, or from whoever runs the log, by another way than this one.

  python verify.py --key '{vkey}'

is the key of this log, as this bundle has it.

WHAT A VERDICT OF VALID MEANS

  - Nobody has changed a receipt since it was signed.
  - The log has signed a head that these receipts are part of. It could not take one out
    again, or change one, without signing another head that contradicts this one. Keep
    checkpoint.txt: any later head can be checked against it.

WHAT IS NOT CLAIMED

  - That what a model answered is true, or that it was a good answer.
  - That every call was reported. A receipt with "observed": "witnessed" is of a call
    that this notary made itself; with "observed": "reported" somebody told it of the
    call, and it signed what it was told.
  - That these are all the receipts that the filters in manifest.json ask for. The log
    has signed that they are, which is its word; the proofs show that each is in the
    log, not that no other one is. A receipt of the type "orchestration" counts the
    calls of its run, which makes one that is missing show.
  - The time of a call. "timestamp" is what the reporter claimed; "issued_at" is the
    notary's own clock.
"""


def readme(origin: str, vkeys: list[str]) -> bytes:
    return README.format(origin=origin, vkey=vkeys[0]).encode()
