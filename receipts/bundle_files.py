"""The files of an evidence bundle, out of a zip or a folder, whoever made it.

Only files that a bundle can have are read, each up to a size of its own, and nothing
is ever written: what unpacking would do in the wrong place, or without an end, cannot
happen. Whatever else a zip holds makes it no bundle.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from receipts import manifest

KIB, MIB = 1 << 10, 1 << 20

MAX_FILES = 65_000
MAX_TOTAL = 2 << 30  # bytes of all files; a bundle of 10,000 receipts has some 30 MB
MAX_DIRECTORY = 8 * MIB  # the zip's own list of its files

# The most that a file of that name can have, in bytes.
_LIMITS = {
    manifest.README: MIB,
    manifest.VERIFIER: MIB,
    manifest.CHECKPOINT: MIB,
    manifest.KEY_SET: MIB,
    manifest.JWKS: 4 * MIB,
    manifest.MANIFEST: 32 * MIB,
    manifest.SIGNATURE: MIB,
}
_RECEIPT = re.compile(r"receipts/(?:0|[1-9][0-9]{0,18})\.json")
_PROOF = re.compile(r"proofs/(?:0|[1-9][0-9]{0,18})\.tlog-proof")
_FOLDERS = ("receipts", "proofs")

# The end of a zip: signature, disks, number of files twice, length and place of the
# list of files, length of a comment.
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR = (b"PK\x06\x07", 20)
_ENCRYPTED = 0x1


class BundleError(ValueError):
    """No bundle that could be read; `field` names the file it fails at."""

    def __init__(self, detail: str, field: str = "bundle") -> None:
        super().__init__(detail)
        self.field = field


class Files(Protocol):
    @property
    def names(self) -> frozenset[str]: ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raises BundleError where that cannot be done."""
        ...


@contextmanager
def open_bundle(path: Path) -> Iterator[Files]:
    """Give the files of a zip or folder; raises BundleError, or OSError where there is
    nothing to read.
    """
    if path.is_dir():
        yield Folder(path)
        return
    with path.open("rb") as file:
        yield Archive(file)


def limit_of(name: str) -> int | None:
    """Return how long a file may be, None for a name that no bundle has."""
    if _RECEIPT.fullmatch(name) or _PROOF.fullmatch(name):
        return 128 * KIB
    return _LIMITS.get(name)


class Folder:
    """A bundle that somebody has unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = list(self._walk(path, ""))
        _check_names(found)
        self.names = frozenset(found)

    def _walk(self, path: Path, prefix: str) -> list[str]:
        names: list[str] = []
        with os.scandir(path) as entries:
            for entry in entries:
                name = prefix + entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and name in _FOLDERS:
                    names += self._walk(Path(entry.path), f"{name}/")
                elif not entry.is_file(follow_symlinks=False):
                    raise BundleError("neither a file nor one of a bundle", name)
                else:
                    names.append(name)
                if len(names) > MAX_FILES:
                    raise BundleError(f"more than {MAX_FILES} files")
        return names

    def read(self, name: str) -> bytes:
        limit = limit_of(name) or 0
        try:
            with (self._path / name).open("rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise BundleError("not a file", name)
                data = file.read(limit + 1)
        except OSError as error:
            raise BundleError(f"cannot be read: {error.strerror}", name) from None
        if len(data) > limit:
            raise BundleError(f"longer than {limit} bytes", name)
        return data


class _Packed(NamedTuple):
    name: str
    info: zipfile.ZipInfo


class Archive:
    """A zip, as it was downloaded."""

    def __init__(self, file: BinaryIO) -> None:
        size = _check_end(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise BundleError(f"not a zip: {error}") from None
        packed = [_Packed(info.orig_filename, info) for info in self._zip.infolist()]
        files = [item for item in packed if not _is_folder(item)]
        _check_names([item.name for item in files])
        _check_packing(files, size)
        self._infos = {item.name: item.info for item in files}
        self.names = frozenset(self._infos)

    def read(self, name: str) -> bytes:
        info = self._infos[name]
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size + 1)
        except _BROKEN as error:
            raise BundleError(f"cannot be unpacked: {error}", name) from None
        if len(data) != info.file_size:
            raise BundleError("is not as long as the zip says", name)
        return data


# What zipfile raises for bytes that are no zip, beside its own error.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    ValueError,
)


def _check_end(file: BinaryIO) -> int:
    """Look at the end of a zip, where it says how much there is to read of it.

    zipfile would read a list of any length. Returns the length of the whole.
    """
    size = file.seek(0, os.SEEK_END)
    signature, zip64 = _ZIP64_LOCATOR
    file.seek(max(size - _END.size - zip64, 0))
    tail = file.read()
    if len(tail) < _END.size or tail[-_END.size :][:4] != _END_SIGNATURE:
        raise BundleError("not a zip, or one that was cut off: it has no end")
    _, _, _, _, count, length, _, comment = _END.unpack(tail[-_END.size :])
    if tail.startswith(signature) or comment:
        raise BundleError("a zip of another kind than bundles are")
    if count > MAX_FILES or length > MAX_DIRECTORY:
        raise BundleError(f"a zip of more than {MAX_FILES} files")
    file.seek(0)
    return size


def _is_folder(item: _Packed) -> bool:
    return item.name.removesuffix("/") in _FOLDERS and item.name.endswith("/")


def _check_names(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if limit_of(name) is None:
            raise BundleError("no file of an evidence bundle", name)
        if name in seen:
            raise BundleError("there are two files of this name", name)
        seen.add(name)
    if len(names) > MAX_FILES:
        raise BundleError(f"more than {MAX_FILES} files")


def _check_packing(files: list[_Packed], size: int) -> None:
    """Refuse what could not have been packed so, and what is too much unpacked."""
    for name, info in files:
        limit = limit_of(name) or 0
        if info.flag_bits & _ENCRYPTED:
            raise BundleError("is encrypted", name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError("is packed in a way that bundles are not", name)
        if info.file_size > limit:
            raise BundleError(f"longer than {limit} bytes", name)
    if sum(info.file_size for _, info in files) > MAX_TOTAL:
        raise BundleError(f"more than {MAX_TOTAL} bytes of files")
    if sum(info.compress_size for _, info in files) > size:
        raise BundleError("files overlap in the zip")
