"""What is measured, each case against the goal that the project set itself."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.gateway import gateway
from bench.guards import guards
from bench.installation import TENANTS, Installation
from bench.load import CALL, Load, Target
from bench.rows import Effort, Row
from bench.servers import python
from bench.strangers import strangers
from bench.year import CALLS, FIRST_DAY, LAST_DAY
from receipts.key_set import from_jwks
from receipts.note import VerifierKey
from receipts.verifier import Verdict, verify

BATCH = 500
LATENCY_SECONDS = 200  # a slow machine measures as many as it answers in this time
VERIFIED = 20  # receipts
REPETITIONS = 10

FILLED = 1  # the tenant whose log is verified

SINGLY = "/v1/receipts"
BATCHES = "/v1/receipts/batch"
RUNS = "/v1/orchestrations"
LONG_RUN = 10_000  # inferences
A_YEAR = 365  # days


def write(lucid: Installation, effort: Effort) -> Iterator[Row]:
    floor = Target(f"{lucid.bare.url}/floor", lucid.target(SINGLY, 0).keys)
    row_lock = Target(f"{lucid.bare.url}/row-lock", floor.keys)
    ours = lucid.target(SINGLY, 0)
    for target in (floor, row_lock, ours):
        lucid.post(target, 64, 2)  # connections, prepared statements, the log
    for clients, goal in ((1, 0.65), (16, 0.8)):
        rates = _interleaved(lucid, effort, clients, floor, ours)
        yield _ratio(f"receipts, {_clients(clients)}", "the floor", goal, *rates)
    rates = _interleaved(lucid, effort, 64, floor, ours, row_lock)
    yield _ratio("receipts, 64 clients", "the floor", 1.0, *rates[:2])
    yield _ratio("receipts, 64 clients", "a row lock", 3.0, rates[2], rates[1])


def latency(lucid: Installation, effort: Effort) -> Iterator[Row]:
    ours = lucid.target(SINGLY, 0)
    lucid.post(ours, 8, 2)
    loads: list[Load] = []
    end = time.monotonic() + LATENCY_SECONDS
    while _answered(loads) < effort.requests and time.monotonic() < end:
        loads.append(lucid.post(ours, 8, 2 * effort.seconds))
    p50 = statistics.median(load.p50 for load in loads)
    p99 = statistics.median(load.p99 for load in loads)
    slowest = max(load.slowest for load in loads)
    yield _at_most("latency, 8 clients: median", p50, 15)
    yield _at_most("latency, 8 clients: 99th percentile", p99, 50)
    yield _at_most(f"latency: slowest of {_answered(loads):,} requests", slowest, 500)


def tenants(lucid: Installation, effort: Effort) -> Iterator[Row]:
    lucid.open_logs()
    one, many = lucid.target(SINGLY, 0), lucid.target(SINGLY, *range(TENANTS))
    rates = _interleaved(lucid, effort, 64, one, many)
    what = f"receipts of {TENANTS:,} tenants in turn, 64 clients"
    yield _ratio(what, "one tenant", 0.6, *rates)


def batch(lucid: Installation, effort: Effort) -> Iterator[Row]:
    target = lucid.target(BATCHES, 0, batch=BATCH)
    lucid.post(target, 2, 2)
    for clients in (1, 2):
        (rates,) = _interleaved(lucid, effort, clients, target)
        what = f"receipts in batches of {BATCH}, {_clients(clients)}"
        yield _at_least(what, rates, 5000)


def inferences(lucid: Installation, effort: Effort) -> Iterator[Row]:
    receipts = lucid.target(SINGLY, 0)
    singly = _calls(lucid, "inferences")
    for target in (receipts, singly):
        lucid.post(target, 64, 2)
    for clients in (1, 16, 64):
        rates = _interleaved(lucid, effort, clients, receipts, singly)
        what = f"inferences, {_clients(clients)}"
        yield _ratio(what, "POST /v1/receipts", 0.8, *rates)
    batches = _calls(lucid, "inferences/batch", BATCH)
    for clients in (1, 2):
        (many,) = _interleaved(lucid, effort, clients, batches)
        what = f"inferences in batches of {BATCH}, {_clients(clients)}"
        yield _at_least(what, many, 3000)


def _calls(lucid: Installation, path: str, batch: int = 0) -> Target:
    """Return where inferences of a new run are posted."""
    run = lucid.start_run()
    target = lucid.target(f"{RUNS}/{run}/{path}", 0, batch=batch)
    return replace(target, body=CALL, member="inferences")


def reading(lucid: Installation, effort: Effort) -> Iterator[Row]:
    run = lucid.start_run()
    body = {"inferences": [_counted(number) for number in range(BATCH)]}
    for _ in range(LONG_RUN // BATCH):
        lucid.call(f"{RUNS}/{run}/inferences/batch", 0, body)
    yield _slowest(lucid, f"a run with {LONG_RUN:,} inferences", f"{RUNS}/{run}", 50)
    first = f"{RUNS}/{run}/inferences"
    yield _slowest(lucid, "the first page of its inferences", first, 50)
    path = first
    for _ in range(LONG_RUN // 50 - 1):
        cursor = lucid.call(path)["next_cursor"]
        path = f"{first}?cursor={cursor}"
    yield _slowest(lucid, "the last page of its inferences", path, 50)
    python("-m", "bench.year", "bench-2", env=lucid.env)
    costs = f"/v1/costs?from={FIRST_DAY}&to={LAST_DAY}"
    what = f"costs of {A_YEAR} days, {CALLS:,} inferences"
    yield _slowest(lucid, what, costs, 50, tenant=2)
    yield _slowest(lucid, f"{what}, by model", f"{costs}&group_by=model", 50, tenant=2)


def _counted(number: int) -> dict[str, Any]:
    return {n: v for n, v in CALL.items() if n != "inference_id"} | {"sequence": number}


def _slowest(
    lucid: Installation, what: str, path: str, goal: int, tenant: int = 0
) -> Row:
    """Return the median time of a read; the connection is kept alive."""
    lucid.call(path, tenant)
    times = [_seconds(lucid.call, path, tenant) for _ in range(3 * REPETITIONS)]
    return _at_most(what, statistics.median(times) * 1e6, goal)


def verification(lucid: Installation, effort: Effort) -> Iterator[Row]:
    lucid.post(lucid.target(BATCHES, FILLED, batch=BATCH), 2, effort.seconds)
    yield from _verifier(lucid)
    command = ["verify_log", f"bench-{FILLED}", "--mode", "live", "--json"]
    report = json.loads(python("manage.py", *command, env=lucid.env))
    if report["verdict"] != Verdict.VALID:
        raise RuntimeError(f"verify_log: {report}")
    what = f"manage.py verify_log, {report['size']:,} receipts"
    yield _at_least(what, [report["size"] / report["seconds"]], 10_000)


def memory(lucid: Installation, effort: Effort) -> Iterator[Row]:
    lucid.post(lucid.target(SINGLY, *range(TENANTS)), 64, effort.seconds)
    lucid.post(lucid.target(BATCHES, 0, batch=BATCH), 2, effort.seconds)
    sizes = [_resident(worker) for worker in lucid.lucid.workers]
    measured = ", ".join(f"{size:.0f} MB" for size in sizes)
    yield Row(
        "memory of each worker after the load", "< 150 MB", measured, max(sizes) < 150
    )


Case = Callable[[Installation, Effort], Iterator[Row]]
CASES: dict[str, Case] = {
    "write": write,
    "latency": latency,
    "tenants": tenants,
    "batch": batch,
    "inferences": inferences,
    "reading": reading,
    "gateway": gateway,
    "guards": guards,
    "strangers": strangers,
    "verify": verification,
    "memory": memory,
}


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _answered(loads: list[Load]) -> int:
    return sum(load.requests for load in loads)


def _interleaved(
    lucid: Installation, effort: Effort, clients: int, *targets: Target
) -> list[list[float]]:
    """Return for each target its receipts per second, one rate a round.

    Targets take turns, in reverse every other round: what else the machine does
    comes and goes, and a ratio of neighbours feels less of it.
    """
    rates: list[list[float]] = [[] for _ in targets]
    for number in range(effort.rounds):
        turns = list(zip(targets, rates, strict=True))
        for target, rate in turns[:: -1 if number % 2 else 1]:
            load = lucid.post(target, clients, effort.seconds)
            rate.append(load.rate * (target.batch or 1))
    return rates


def _ratio(
    what: str, of: str, goal: float, base: list[float], ours: list[float]
) -> Row:
    ratio = statistics.median(ours) / statistics.median(base)
    ratios = sorted(our / their for our, their in zip(ours, base, strict=True))
    return Row(
        what,
        f">= {goal:g} of {of}" if goal <= 1 else f">= {goal:g} times {of}",
        f"{ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}):"
        f" {statistics.median(ours):,.0f}/s, {of} {statistics.median(base):,.0f}/s",
        ratio >= goal,
    )


def _at_most(what: str, microseconds: float, goal: int) -> Row:
    milliseconds = microseconds / 1000
    return Row(what, f"<= {goal} ms", f"{milliseconds:.1f} ms", milliseconds <= goal)


def _at_least(what: str, rates: list[float], goal: int) -> Row:
    rate = statistics.median(rates)
    return Row(what, f">= {goal:,}/s", f"{rate:,.0f}/s", rate >= goal)


def _resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _verifier(lucid: Installation) -> Iterator[Row]:
    page = lucid.call(f"{SINGLY}?limit={VERIFIED}", FILLED)["receipts"]
    pairs = [(item, _proof(lucid, item["receipt_id"])) for item in page]
    vkey = lucid.call("/v1/signer/pubkey", FILLED)["vkey"]
    key, key_sets = VerifierKey.parse(vkey), from_jwks(lucid.call("/v1/keys", FILLED))

    def check(receipt: Any, proof: Any) -> None:
        result = verify(receipt, proof, [key], key_sets)
        if result.verdict != Verdict.VALID:
            raise RuntimeError(f"the verifier: {result}")

    times = [_seconds(check, *pair) for _ in range(REPETITIONS) for pair in pairs]
    yield _at_most("the verifier, one receipt", statistics.median(times) * 1e6, 5)
    command = _files(lucid.folder, vkey, *pairs[0])
    times = [_seconds(python, *command, env=lucid.env) for _ in range(REPETITIONS)]
    whole = f"{statistics.median(times) * 1000:.0f} ms"
    yield Row("python -m receipts.verifier, the whole process", "-", whole)


def _proof(lucid: Installation, receipt_id: str) -> Any:
    return lucid.call(f"{SINGLY}/{receipt_id}/proof", FILLED)["proof"]


def _files(folder: Path, vkey: str, receipt: Any, proof: Any) -> list[str]:
    """Return the arguments of a Python that verifies the receipt from files."""
    receipt_file, proof_file = folder / "receipt.json", folder / "proof.json"
    receipt_file.write_text(json.dumps(receipt))
    proof_file.write_text(json.dumps(proof))
    files = [str(receipt_file), "--proof", str(proof_file)]
    return ["-m", "receipts.verifier", *files, "--key", vkey]


def _seconds(work: Callable[..., object], *arguments: Any, **options: Any) -> float:
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start
