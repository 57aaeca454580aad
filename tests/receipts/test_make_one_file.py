"""The verifier in one file runs where nothing of ours is, and PyNaCl alone is."""

import ast
import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from receipts import manifest, one_file
from receipts.verifier import Verdict
from tests.receipts.bundles import LOG, bundle, unpack_into, unpacked
from tests.receipts.small_log import SmallLog, receipt_key

# What PyNaCl is made of.
INSTALLED = ("nacl", "cffi", "_cffi_backend")


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """As `pip install pynacl` leaves it in a fresh environment."""
    folder = tmp_path_factory.mktemp("packages")
    for name in INSTALLED:
        spec = find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        there = origin.parent if spec.submodule_search_locations else origin
        (folder / there.name).symlink_to(there)
    return folder


@pytest.fixture
def run(packages, tmp_path):
    """Run verify.py isolated: no site packages, no environment, no folder of ours."""

    def ran(program, *arguments, path=packages, cwd=tmp_path):
        script = (
            f"import runpy, sys; sys.path.append({str(path)!r});"
            f"sys.argv = {[str(program), *map(str, arguments)]!r};"
            f"runpy.run_path({str(program)!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={},
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return ran


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "verify.py"
    path.write_bytes(one_file.source())
    return path


@pytest.fixture
def folder(tmp_path):
    return unpack_into(tmp_path / "evidence", bundle())


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "evidence.zip"
    path.write_bytes(bundle())
    return path


def test_it_checks_the_folder_that_it_is_in(run, folder):
    code, out, err = run(folder / "verify.py")
    assert (code, err) == (0, "")
    assert out.endswith("\nVALID\n")
    assert run(folder / "verify.py", ".", cwd=folder)[0] == 0


def test_it_checks_a_zip(run, program, archive):
    code, out, _ = run(program, archive, "--key", LOG.vkey, "--json")
    assert code == 0
    assert json.loads(out)["verdict"] == "VALID"


def test_it_checks_a_receipt_with_its_proof(run, program, tmp_path):
    for name, document in (("r", LOG.receipt(3)), ("p", LOG.proof(3))):
        (tmp_path / name).write_text(json.dumps(document))
    assert run(program, tmp_path / "r", "--proof", tmp_path / "p")[0] == 0


def test_it_finds_what_was_changed(run, folder):
    path = folder / manifest.receipt_name(3)
    path.write_bytes(path.read_bytes().replace(b"vllm", b"sglg"))
    code, out, _ = run(folder / "verify.py")
    assert code == Verdict.INVALID.exit_code
    assert "at: receipts/3.json" in out


def test_it_finds_a_revoked_key(run, tmp_path):
    log = SmallLog(keys=(receipt_key(last=2, status="revoked"),))
    folder = unpack_into(tmp_path / "revoked", bundle(log))
    code, out, _ = run(folder / "verify.py")
    assert code == Verdict.KEY_REVOKED.exit_code
    assert out.endswith("\nKEY_REVOKED\n")


def test_it_runs_as_a_program_of_its_own(folder):
    done = subprocess.run(
        [sys.executable, "verify.py"],
        cwd=folder,
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_in_the_folder_stands_in_for_a_module(run, folder):
    (folder / "json.py").write_text("print('VALID'); raise SystemExit(0)")
    (folder / "receipts" / "verifier_command.py").write_text("raise SystemExit(0)")
    done = subprocess.run(
        [sys.executable, "verify.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Verdict.INVALID.exit_code
    assert "at: json.py" in done.stdout or "at: receipts/" in done.stdout


def test_without_pynacl_it_says_what_to_do(run, program, tmp_path):
    code, out, err = run(program, path=tmp_path / "nothing")
    assert (code, out) == (64, "")
    assert err == "verify.py: needs PyNaCl: python -m pip install pynacl\n"


def test_what_is_not_there_is_bad_usage(run, program):
    code, out, err = run(program, "/does/not/exist")
    assert (code, out) == (64, "")
    assert len(err.splitlines()) == 1


def test_it_says_where_the_verifier_in_a_bundle_is_another(run, tmp_path, archive):
    program = tmp_path / "other.py"
    program.write_bytes(one_file.source() + b"# mine\n")
    assert "is not the program" in run(program, archive)[1]


def text_of(name: str) -> str:
    spec = find_spec(name)
    assert spec
    return Path(str(spec.origin)).read_text(encoding="utf-8")


def test_it_holds_the_modules_as_they_are(program, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    there = runpy.run_path(str(program))["SOURCES"]
    assert there == {name: text_of(name) for name in one_file.MODULES}


def test_it_holds_every_module_of_ours_that_these_need():
    for name in one_file.MODULES:
        for node in ast.walk(ast.parse(text_of(name))):
            if isinstance(node, ast.ImportFrom) and node.module:
                package = node.module.partition(".")[0]
                if package in {"receipts", "lucid", "tenants", "orchestrations"}:
                    inner = [f"{node.module}.{item.name}" for item in node.names]
                    assert {node.module, *inner} & set(one_file.MODULES), name


def test_it_can_be_read():
    text = one_file.source().decode()
    assert max(map(len, text.splitlines())) <= 88
    assert text.isascii() or "\x1b" not in text
    assert unpacked(bundle())["verify.py"] == one_file.source()
