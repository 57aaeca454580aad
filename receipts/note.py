"""C2SP signed-note: text with signature lines, and cosignatures on it.

A note is `text + "\\n" + lines`, each line `— <name> base64(key id || blob)\\n`. Read
as golang.org/x/mod/sumdb/note does, with base64 held to its one canonical form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from receipts import ed25519

# Signature types assigned by C2SP signed-note.
ED25519 = 0x01
COSIGNATURE_V1 = 0x04

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_SECONDS = 2**63 - 1

KEY_ID_BYTES = 4
TIMESTAMP_BYTES = 8
LINE_PREFIX = "\N{EM DASH} "

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")  # all but newline
_NOT_IN_NAMES = re.compile(r"[+\s\ud800-\udfff]")


class MalformedKey(ValueError):
    """Not a verifier key (vkey) we can use."""


class NoteError(ValueError):
    """A note that is not to be believed."""


class MalformedNote(NoteError):
    pass


class InvalidSignature(NoteError):
    """A known key is named, and the signature is not by it."""


class UnverifiedNote(NoteError):
    """No known key has signed; the text is in `note`, vouched for by nobody."""

    def __init__(self, note: Note) -> None:
        super().__init__("the note has no signature from a known key")
        self.note = note


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `timestamp` is the Unix time a cosignature states; it and
    `algorithm` are known of verified signatures only.
    """

    name: str
    key_id: bytes
    blob: bytes
    algorithm: int | None = None
    timestamp: int | None = None

    @property
    def line(self) -> str:
        encoded = base64.b64encode(self.key_id + self.blob).decode()
        return f"{LINE_PREFIX}{self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    verified: tuple[Signature, ...]
    unverified: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key; its text form is the vkey `name+hex(key id)+base64(key)`."""

    name: str
    key_id: bytes
    algorithm: int
    public_key: bytes

    @classmethod
    def of(cls, name: str, public_key: bytes, algorithm: int = ED25519) -> VerifierKey:
        """Raises MalformedKey for a bad name, an unknown algorithm or a weak key."""
        if not is_valid_name(name):
            raise MalformedKey(f"{name!r} is not a key name")
        if algorithm not in (ED25519, COSIGNATURE_V1):
            raise MalformedKey(f"unknown signature type 0x{algorithm:02x}")
        try:
            ed25519.check_public_key(public_key)
        except ed25519.InvalidPublicKey as error:
            raise MalformedKey(str(error)) from error
        return cls(name, key_id(name, public_key, algorithm), algorithm, public_key)

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        name, _, rest = vkey.partition("+")
        _, _, encoded = rest.partition("+")
        try:
            data = decode_base64(encoded)
        except ValueError as error:
            raise MalformedKey(f"{vkey!r} is not a verifier key") from error
        key = cls.of(name, data[1:], data[0] if data else 0)
        if str(key) != vkey:
            raise MalformedKey(f"the key id in {vkey!r} is of another key")
        return key

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.algorithm]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


def key_id(name: str, public_key: bytes, algorithm: int = ED25519) -> bytes:
    """SHA-256(name || 0x0A || algorithm || public key)[:4]."""
    message = name.encode() + b"\n" + bytes([algorithm]) + public_key
    return hashlib.sha256(message).digest()[:KEY_ID_BYTES]


def sign(text: str, name: str, signer: ed25519.Signer) -> str:
    """Return the Ed25519 signature line for the text; MalformedNote if it is none."""
    _check_signable(text, name)
    blob = signer.sign(text.encode())
    return Signature(name, key_id(name, signer.public_key), blob).line


def cosign(text: str, name: str, signer: ed25519.Signer, seconds: int) -> str:
    """Return the cosignature/v1 line (C2SP tlog-cosignature), made at a Unix time."""
    _check_signable(text, name)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError("a cosignature time is from 0 to 2^63-1 seconds")
    message = _cosigned_message(text, seconds)
    blob = seconds.to_bytes(TIMESTAMP_BYTES, "big") + signer.sign(message)
    identifier = key_id(name, signer.public_key, COSIGNATURE_V1)
    return Signature(name, identifier, blob).line


def assemble(text: str, lines: Iterable[str]) -> str:
    return f"{text}\n{''.join(lines)}"


def open_note(note: bytes | str, keys: Iterable[VerifierKey]) -> Note:
    """Read a note and check every signature by a known key, once for each key.

    Raises MalformedNote, InvalidSignature when one by a known key is wrong, and
    UnverifiedNote when there is none; MalformedKey when two keys share name and id.
    """
    known = _index(keys)
    text, signatures = parse(note)
    verified: dict[tuple[str, bytes], Signature] = {}
    unverified: dict[Signature, None] = {}
    for signature in signatures:
        identity = (signature.name, signature.key_id)
        if identity not in known:
            unverified[signature] = None
        elif identity not in verified:
            verified[identity] = _verify(text, signature, known[identity])
    opened = Note(text, tuple(verified.values()), tuple(unverified))
    if not verified:
        raise UnverifiedNote(opened)
    return opened


def parse(note: bytes | str) -> tuple[str, list[Signature]]:
    """Take a note apart without checking a signature; raises MalformedNote."""
    text = _decode(note)
    # The last empty line divides, as the text may hold empty lines itself.
    end = text.rfind("\n\n") + 1
    lines = text[end + 1 :].split("\n")
    if end == 0 or lines.pop() != "" or not lines:
        raise MalformedNote("no signature lines after an empty line")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedNote(f"more than {MAX_SIGNATURES} signatures")
    return text[:end], [_parse_line(line) for line in lines]


def is_valid_name(name: str) -> bool:
    """Key names are not empty and have no plus and no Unicode spaces."""
    return bool(name) and not _NOT_IN_NAMES.search(name)


def decode_base64(text: str) -> bytes:
    """Decode RFC 4648 section 4 base64; ValueError unless it is the canonical form.

    Leftover bits that are not zero would be a second spelling of the same bytes.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def _index(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise MalformedKey(f"two keys are {key.name}+{key.key_id.hex()}")
    return known


def _verify(text: str, signature: Signature, key: VerifierKey) -> Signature:
    blob, message, timestamp = signature.blob, text.encode(), None
    if key.algorithm == COSIGNATURE_V1:
        timestamp = int.from_bytes(blob[:TIMESTAMP_BYTES], "big")
        message = _cosigned_message(text, timestamp)
        blob = blob[TIMESTAMP_BYTES:]
    if (timestamp or 0) > MAX_SECONDS or not ed25519.verify(
        key.public_key, message, blob
    ):
        raise InvalidSignature(f"the signature by {key.name} is not valid")
    return Signature(key.name, key.key_id, signature.blob, key.algorithm, timestamp)


def _cosigned_message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _decode(note: bytes | str) -> str:
    try:
        data = note.encode() if isinstance(note, str) else note
        text = data.decode()
    except UnicodeError:
        raise MalformedNote("not valid UTF-8") from None
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedNote(f"longer than {MAX_NOTE_BYTES} bytes")
    _check_characters(text)
    return text


def _check_characters(text: str) -> None:
    if _CONTROLS.search(text):
        raise MalformedNote("a control character")


def _check_signable(text: str, name: str) -> None:
    _check_characters(text)
    if not text.endswith("\n"):
        raise MalformedNote("a note text ends with a newline")
    if not is_valid_name(name):
        raise MalformedNote(f"{name!r} is not a key name")


def _parse_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(LINE_PREFIX).partition(" ")
    if not line.startswith(LINE_PREFIX) or not is_valid_name(name):
        raise MalformedNote("not a signature line")
    try:
        data = decode_base64(encoded)
    except ValueError as error:
        raise MalformedNote(f"the signature by {name} is {error}") from error
    if len(data) <= KEY_ID_BYTES:
        raise MalformedNote(f"the signature by {name} is too short")
    return Signature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])
