"""The verifier as one readable Python file, which needs PyNaCl and nothing from us.

It holds the sources of the modules that the verifier is made of, as they are, and
loads them from there.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

# In the order in which one reads them; none imports another of ours.
MODULES = (
    "receipts.verifier_command",
    "receipts.bundle_verifier",
    "receipts.verifier",
    "receipts.bundle_files",
    "receipts.manifest",
    "receipts.tlog_proof",
    "receipts.key_set",
    "receipts.checkpoint",
    "receipts.note",
    "receipts.merkle",
    "receipts.canonical",
    "receipts.ed25519",
    "receipts.base58",
    "lucid.api.strict_json",
)

QUOTES = "'''"

HEAD = '''\
#!/usr/bin/env python3
"""Lucid's verifier in one file: checks an evidence bundle, offline.

    python -m pip install pynacl
    python verify.py                    the folder that this file is in
    python verify.py evidence.zip       a bundle as it was downloaded
    python verify.py --help

Needs Python 3.11 or newer, and PyNaCl for Ed25519 and nothing else. It asks nothing of
any server, and writes no file. The modules below are the verifier's own, as they are;
what loads them is at the end.

Whoever gives you a bundle gives you this file with it. If you have reason not to trust
them, take it from another bundle, or from the project, and give it the log's key that
you know from elsewhere: --key.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("verify.py: needs Python 3.11 or newer")

SOURCES = {}
'''

TAIL = """
# How they are loaded. Nothing in the folder of the evidence may stand in for a module
# of Python's own, so that is no place to import from.

from importlib.abc import InspectLoader, MetaPathFinder
from importlib.util import spec_from_loader
from os.path import abspath, dirname

FOLDER = dirname(abspath(__file__))
sys.path[:] = [place for place in sys.path if abspath(place) != FOLDER]


class Loader(MetaPathFinder, InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES or self.is_package(name):
            return spec_from_loader(name, self)
        return None

    def is_package(self, name):
        return any(module.startswith(name + ".") for module in SOURCES)

    def get_source(self, name):
        return SOURCES.get(name, "")


if __name__ == "__main__":
    sys.meta_path.insert(0, Loader())
    try:
        import nacl.bindings
    except ImportError:
        print("verify.py: needs PyNaCl: python -m pip install pynacl", file=sys.stderr)
        sys.exit(64)
    from pathlib import Path

    from receipts.verifier_command import main

    sys.exit(main(program=Path(abspath(__file__))))
"""


@cache
def source() -> bytes:
    """Return the file; the same bytes for the same sources."""
    return "".join([HEAD, *map(_embedded, MODULES), TAIL]).encode()


def _embedded(name: str) -> str:
    spec = find_spec(name)
    text = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
    # What a raw string could not hold.
    if QUOTES in text or not text.endswith("\n"):
        raise ValueError(f"{name} cannot be embedded")
    path = f"{name.replace('.', '/')}.py"
    return f"\n# {path}\n\nSOURCES[{name!r}] = r{QUOTES}\n{text}{QUOTES}[1:]\n"
