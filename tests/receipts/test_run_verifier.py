import json
import subprocess
import sys

import pytest

from receipts.verifier_command import EXIT_USAGE, main
from tests.receipts.small_log import ORIGIN, SmallLog, receipt_key

LOG = SmallLog()


@pytest.fixture
def files(tmp_path):
    def write(name, document):
        path = tmp_path / name
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def receipt(files):
    return files("receipt.json", {"success": True, "receipt": LOG.receipt(3)})


@pytest.fixture
def proof(files):
    return files("proof.json", {"success": True, "proof": LOG.proof(3)})


def test_a_valid_receipt_exits_with_0(receipt, proof, capsys):
    assert main([receipt, "--proof", proof, "--key", LOG.vkey]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "VALID"
    assert sum(line.startswith("ok ") for line in lines) == 9


def test_everything_can_be_pinned(files, receipt, capsys):
    arguments = [receipt, "--proof", files("it.tlog-proof", LOG.tlog_proof(3))]
    arguments += ["--key", LOG.vkey, "--keys", files("keys.json", LOG.jwks())]
    assert main([*arguments, "--origin", ORIGIN]) == 0
    assert "note:" not in capsys.readouterr().out


def test_what_was_not_pinned_is_said(receipt, proof, capsys):
    assert main([receipt, "--proof", proof]) == 0
    assert "note: The log's key was not pinned" in capsys.readouterr().out


def test_a_changed_receipt_exits_with_1(files, proof, capsys):
    changed = files("changed.json", LOG.receipt(3) | {"runtime": "other"})
    assert main([changed, "--proof", proof, "--key", LOG.vkey]) == 1
    out = capsys.readouterr().out
    assert "FAILED  receipt_hash" in out
    assert f"found: {LOG.receipt(3)['receipt_hash']}" in out
    assert out.endswith("\nINVALID\n")


def test_a_revoked_key_exits_with_4(files, receipt, proof):
    revoked = SmallLog(keys=(receipt_key(last=2, status="revoked"),)).jwks()
    keys = files("keys.json", revoked)
    assert main([receipt, "--proof", proof, "--key", LOG.vkey, "--keys", keys]) == 4


def test_json_is_one_object(receipt, proof, capsys):
    assert main([receipt, "--proof", proof, "--key", LOG.vkey, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "VALID"
    assert {step["ok"] for step in result["steps"]} == {True}


def test_malformed_files_are_a_verdict(files, proof, capsys):
    assert main([files("receipt.json", "{"), "--proof", proof]) == 1
    assert capsys.readouterr().out.endswith("\nINVALID\n")


def test_a_file_cannot_write_to_the_terminal(files, receipt, capsys):
    proof = files("proof.json", '{"\\u001b[2K\\nVALID": 1e17}')
    assert main([receipt, "--proof", proof]) == 1
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert "VALID" not in out.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["{receipt}"],
        ["{receipt}", "--proof", "/does/not/exist"],
        ["/does/not/exist", "--proof", "{proof}"],
        ["{receipt}", "--proof", "/"],
        ["{receipt}", "--proof", "{proof}", "--key", "not a vkey"],
        ["{receipt}", "--proof", "{proof}", "--keys", "{receipt}"],
        ["{receipt}", "--proof", "{proof}", "--unknown"],
        ["{receipt}", "--proof", "nul\0"],
    ],
)
def test_bad_usage_is_one_line_and_exits_with_64(arguments, receipt, proof, capsys):
    arguments = [
        item.format(receipt=receipt, proof=proof) if "{" in item else item
        for item in arguments
    ]
    assert main(arguments) == EXIT_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


def test_it_runs_without_django(receipt, proof):
    script = (
        "import sys; from receipts.verifier_command import main;"
        "code = main(sys.argv[1:]);"
        "assert not {'django', 'rest_framework', 'psycopg'} & sys.modules.keys();"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", script, receipt, "--proof", proof]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
