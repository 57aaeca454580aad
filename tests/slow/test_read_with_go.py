"""Go's transparency-log packages read our log: other people's code, not ours."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.caller import RUN
from tests.slow.client import Client
from tests.slow.server import Account, Server

GOPATH = Path("/usr/share/gocode")
SOURCE = Path(__file__).with_name("check_log.go")
BUILD_SECONDS = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("go") or not (GOPATH / "src/golang.org/x/mod").is_dir(),
        reason="needs Debian's golang-go and golang-golang-x-mod-dev",
    ),
]

# Left of, at and right of the borders of tiles, and the end.
OLD_SIZES = (1, 255, 256, 300, 512)
SIZE = 700
RUNS = [f"run-{index}" for index in (0, 1, 255, 256, 257, 511, 512, 698, 699)]


@dataclass
class GoLog:
    """A log, checkpoints of it in files, and the Go program that reads it."""

    program: Path
    environment: dict[str, str]
    checkpoints: dict[int, Path]

    def check(self, *arguments: str | Path) -> int:
        """Return how much was checked; AssertionError is what Go found wrong."""
        command = [self.program, *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("go") / "check_log"
    env = os.environ | {"GO111MODULE": "off", "GOPATH": str(GOPATH)}
    command = ["go", "build", "-o", target, SOURCE]
    subprocess.run(command, env=env, check=True, timeout=BUILD_SECONDS)
    return target


@pytest.fixture(scope="module")
def log(default_installation, program, tmp_path_factory) -> Iterator[GoLog]:
    account = default_installation.new_account("go")
    folder = tmp_path_factory.mktemp("checkpoints")
    with default_installation.server() as server, server.client(account) as client:
        yield GoLog(
            program,
            environment(server, account, client),
            {size: grow(client, account, size, folder) for size in (*OLD_SIZES, SIZE)},
        )


def environment(server: Server, account: Account, client: Client) -> dict[str, str]:
    return {
        "SERVER": f"http://127.0.0.1:{server.port}",
        "LOG": f"/log/{account.slug}",
        "API_KEY": account.key,
        "VKEY": client.read("/v1/signer/pubkey")["vkey"],
    }


def grow(client: Client, account: Account, size: int, folder: Path) -> Path:
    """Append until the log has that size; return its checkpoint's file."""
    start = client.read("/v1/mmr/root")["leaf_count"]
    runs = [RUN | {"run_id": f"run-{index}"} for index in range(start, size)]
    assert client.post("/v1/receipts/batch", {"receipts": runs}).status == 200
    file = folder / str(size)
    file.write_bytes(client.get(f"/log/{account.slug}/checkpoint").body)
    return file


@pytest.mark.parametrize("size", [*OLD_SIZES, SIZE])
def test_go_finds_every_entry_in_the_tree_of_the_tiles(log, size):
    assert log.check("records", log.checkpoints[size]) == size


@pytest.mark.parametrize("size", OLD_SIZES)
def test_go_finds_the_tree_of_the_tiles_to_extend_an_older_one(log, size):
    assert log.check("tree", log.checkpoints[size], log.checkpoints[SIZE]) > 0


@pytest.mark.parametrize("size", OLD_SIZES)
def test_go_accepts_the_consistency_proof_of_the_api(log, size):
    assert log.check("consistency", log.checkpoints[size], log.checkpoints[SIZE]) > 0


def test_go_accepts_the_inclusion_proofs_of_the_api(log):
    assert log.check("proofs", *RUNS) == len(RUNS)


def test_go_refuses_a_checkpoint_that_was_changed(log, tmp_path):
    changed = tmp_path / "changed"
    text = log.checkpoints[SIZE].read_text()
    changed.write_text(text.replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n"))
    with pytest.raises(AssertionError, match="invalid signature"):
        log.check("records", changed)
