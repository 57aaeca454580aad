"""Verify a receipt as an auditor would: from files alone, with the verifier."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def verify_offline(receipt: dict[str, Any], proof: dict[str, Any], vkey: str) -> int:
    """Run the verifier on files; return its exit code, 0 for VALID."""
    with tempfile.TemporaryDirectory() as folder:
        receipt_file, proof_file = Path(folder, "receipt.json"), Path(folder, "proof")
        receipt_file.write_text(json.dumps(receipt))
        proof_file.write_text(json.dumps(proof))
        command = ["-m", "receipts.verifier", str(receipt_file)]
        command += ["--proof", str(proof_file), "--key", vkey]
        return subprocess.run([sys.executable, *command], cwd=ROOT).returncode  # noqa: S603
