"""Published test vectors, read where they lie: beside the project, never in it."""

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "vectors"

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="the folder shared/vectors is not beside the project"
)


def read_bytes(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def read_json(name: str) -> Any:
    return json.loads(read_bytes(name))


def names(pattern: str) -> list[str]:
    """The vector files that match, by their path below the vectors."""
    return sorted(str(path.relative_to(VECTORS)) for path in VECTORS.glob(pattern))
