"""What Lucid adds to a call of a model, measured beside direct calls.

The model server is a stand-in (bench.model_server), whose answers tell how long it
had them: what is left of a client's time is the way there and back, and what that is
more through Lucid than directly, at the median, is added. SmolLM2 has a line of its
own, where it is installed, for truth: how long it computes varies by more than Lucid
adds, so what it says of that is left out as well.
"""

import secrets
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from bench.clients import (
    Call,
    Endpoint,
    alternate,
    open_streams,
    run,
    wait_until_ready,
)
from bench.installation import Installation
from bench.load import LoadFailed
from bench.model_server import MODEL
from bench.rows import Effort, Row
from bench.servers import listening, python

STAND_IN, REAL = 3, 4  # tenants
REAL_MODEL = "smollm2-135m"
CONCURRENCY = 300

COMMITS = 50
INSERT = "INSERT INTO bench_receipt (entry, receipt_hash, run_id) VALUES (%s, %s, %s)"
STREAMS = 200
CHUNKS = 16  # of each of them
PAUSE_MS = 500
OPENING_SECONDS = 2

PROMPT = "Name three reasons to keep a tamper-evident log of inferences. " * 4
CHAT = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "You answer in one paragraph."},
        {"role": "user", "content": PROMPT},
    ],
    "temperature": 0,
    "max_tokens": 4,
}
INFERENCE = {
    "model": MODEL,
    "prompt": PROMPT,
    "agent_id": "agent:bench",
    "parameters": {"temperature": 0, "max_tokens": 4},
}

Rounds = list[list[Call]]


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways to one model: directly, and through Lucid with a tenant's key."""

    direct: str
    lucid: str
    key: str

    def directly(self, **changes: Any) -> Endpoint:
        return Endpoint(f"{self.direct}/v1/chat/completions", CHAT | changes)

    def relayed(self, **changes: Any) -> Endpoint:
        url = f"{self.lucid}/v1/chat/completions"
        return Endpoint(url, CHAT | changes, self.key)

    def inference(self) -> Endpoint:
        url = f"{self.lucid}/v1/orchestrations/llm-inference"
        return Endpoint(url, INFERENCE, self.key)


def gateway(lucid: Installation, effort: Effort) -> Iterator[Row]:
    with listening("-m", "bench.model_server") as url:
        ways = _ways(lucid, STAND_IN, MODEL, url)
        yield _commit(lucid, effort)
        yield from _calls(lucid, effort, ways)
        yield from _first_tokens(lucid, effort, ways)
        yield from _open_streams(lucid, effort, ways)
    if find_spec("xllamacpp") is None:
        yield Row(f"{REAL_MODEL}, 1 client", "-", "not installed")
        return
    with listening("examples/local_model.py") as url:
        yield from _real(lucid, effort, _ways(lucid, REAL, REAL_MODEL, url))


def _ways(lucid: Installation, tenant: int, model: str, url: str) -> Ways:
    """Let a tenant of Lucid reach the model, at a price."""
    slug = f"bench-{tenant}"
    host = ("--base-url", f"{url}/v1", "--allow-host", "127.0.0.1")
    more = ("--no-credential", "--concurrency", str(CONCURRENCY))
    set_provider = ("set_provider", slug, "custom", *host, *more)
    python("manage.py", *set_provider, env=lucid.env)
    rates = ("--input", "0.10", "--output", "0.40")
    python("manage.py", "set_price", slug, "custom", model, *rates, env=lucid.env)
    return Ways(url, lucid.lucid.url, lucid.keys[tenant])


def _commit(lucid: Installation, effort: Effort) -> Row:
    """Measure a bare INSERT: two are the least that a call with a receipt can cost."""
    rounds = []
    with psycopg.connect(lucid.env["DATABASE_URL"], autocommit=True) as connection:
        for _ in range(effort.rounds):
            times = []
            for _ in range(COMMITS):
                start = time.perf_counter()
                connection.execute(INSERT, [b"", b"", secrets.token_hex()])
                times.append((time.perf_counter() - start) * 1000)
            rounds.append(statistics.median(times))
    _tell("a bare INSERT", rounds)
    return _row("a bare INSERT, committed: p50", None, rounds, "ms")


def _calls(lucid: Installation, effort: Effort, ways: Ways) -> Iterator[Row]:
    endpoints = (ways.directly(), ways.relayed(), ways.inference())
    for clients in (1, 8):
        direct, *ours = _in_turns(lucid, effort, clients, *endpoints)
        for name, rounds in zip(
            ("chat completions", "llm-inference"), ours, strict=True
        ):
            what = f"{name}, {_clients(clients)}"
            yield from _added(what, direct, rounds, {50: 8, 95: 15})


def _first_tokens(lucid: Installation, effort: Effort, ways: Ways) -> Iterator[Row]:
    endpoints = (ways.directly(stream=True), ways.relayed(stream=True))
    for clients in (1, 8):
        direct, ours = _in_turns(lucid, effort, clients, *endpoints)
        what = f"first token of a stream, {_clients(clients)}"
        yield from _added(what, direct, ours, {50: 5, 95: None})


def _real(lucid: Installation, effort: Effort, ways: Ways) -> Iterator[Row]:
    endpoints = (ways.directly(model=REAL_MODEL), ways.relayed(model=REAL_MODEL))
    wait_until_ready(endpoints[0])
    added, directly = [], []
    for _ in range(effort.rounds):
        direct, ours = alternate(endpoints, effort.seconds)
        pairs = list(zip(direct, ours, strict=True))
        longer = [our.overhead - their.overhead for their, our in pairs]
        added.append(statistics.median(longer) / 1e6)
        directly.append(statistics.median(their.total for their, _ in pairs) / 1e6)
    what = f"chat completion of {REAL_MODEL}, 1 client: added, p50"
    _tell(what, added)
    told = f"; directly {statistics.median(directly):.0f} in all"
    yield _row(what, None, added, "ms", told)


def _in_turns(
    lucid: Installation, effort: Effort, clients: int, *endpoints: Endpoint
) -> list[Rounds]:
    """Return for each endpoint its calls, round by round (see `cases._interleaved`)."""
    all_rounds: list[Rounds] = [[] for _ in endpoints]
    for number in range(effort.rounds):
        turns = list(zip(endpoints, all_rounds, strict=True))
        for endpoint, rounds in turns[:: -1 if number % 2 else 1]:
            logged = lucid.logged()
            calls = run(endpoint, clients, effort.seconds)
            _check_logged(lucid, endpoint, lucid.logged() - logged, len(calls))
            rounds.append(calls)
    return all_rounds


def _check_logged(lucid: Installation, to: Endpoint, grown: int, calls: int) -> None:
    if to.url.startswith(lucid.lucid.url) and grown < calls:
        raise LoadFailed(f"{calls} calls of {to.url}, {grown} receipts")


def _added(
    what: str, direct: Rounds, ours: Rounds, goals: dict[int, int | None]
) -> Iterator[Row]:
    """Compare the calls of each round with the median of the direct ones."""
    bases = [_milliseconds(call.overhead for call in calls) for calls in direct]
    times = [_milliseconds(call.overhead for call in calls) for calls in ours]
    for percent, goal in goals.items():
        added = [
            _percentile(time, percent) - statistics.median(base)
            for time, base in zip(times, bases, strict=True)
        ]
        _tell(f"{what}, p{percent}", added)
        told = ""
        if percent == 50:
            told = f"; directly {statistics.median(map(statistics.median, bases)):.2f}"
            if before := statistics.median(c.before for calls in ours for c in calls):
                told += f", before the model has it {before / 1e6:.2f}"
        yield _row(f"{what}: added, p{percent}", goal, added, "ms", told)


def _row(
    what: str, goal: int | None, rounds: Sequence[float], unit: str, told: str = ""
) -> Row:
    middle, least, most = statistics.median(rounds), min(rounds), max(rounds)
    return Row(
        what,
        "-" if goal is None else f"< {goal} {unit}",
        f"{middle:.1f} {unit} ({least:.1f} to {most:.1f}){told}",
        None if goal is None else middle < goal,
    )


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _tell(what: str, rounds: Sequence[float]) -> None:
    """Show the figures of each round to who looks on."""
    figures = ", ".join(f"{figure:.2f}" for figure in rounds)
    print(f"  {what}: {figures}", file=sys.stderr, flush=True)


def _milliseconds(nanoseconds: Iterator[int]) -> list[float]:
    return [time / 1e6 for time in nanoseconds]


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


# Many streams at once


@dataclass(slots=True)
class Crowd:
    """A round of many streams: what their chunks took, and Lucid's memory in MB."""

    delays: list[float]
    whole: int
    open: int  # at a time
    memory: float


def _open_streams(lucid: Installation, effort: Effort, ways: Ways) -> Iterator[Row]:
    asked = {"stream": True, "max_tokens": CHUNKS, "pause_ms": PAUSE_MS}
    direct, ours = ways.directly(**asked), ways.relayed(**asked)
    pairs = [
        (_crowd(lucid, direct), _crowd(lucid, ours))
        for _ in range(max(1, effort.rounds // 2))
    ]
    what = f"{STREAMS} streams"
    whole = [crowd.whole for _, crowd in pairs]
    opened = min(crowd.open for _, crowd in pairs)
    told = f"{', '.join(map(str, whole))}; {opened} open at a time"
    yield Row(f"{what}: whole", f"{STREAMS}", told, min(whole) == STREAMS)
    memory = [crowd.memory for _, crowd in pairs]
    _tell(f"{what}, MB", memory)
    yield _row(f"{what}: memory of Lucid's processes", 400, memory, "MB")
    for percent in (50, 95):
        added = [
            _percentile(crowd.delays, percent) - statistics.median(base.delays)
            for base, crowd in pairs
        ]
        _tell(f"{what}, chunks, p{percent}", added)
        yield _row(f"{what}: added to a chunk, p{percent}", None, added, "ms")


def _crowd(lucid: Installation, endpoint: Endpoint) -> Crowd:
    memory, most, futures = 0.0, 0, list[Future[Call]]()
    for futures in open_streams(endpoint, STREAMS, OPENING_SECONDS):
        memory = max(memory, sum(map(_proportional, lucid.lucid.processes)))
        most = max(most, sum(future.running() for future in futures))
    calls = [future.result() for future in futures]
    later = (delay for call in calls for delay in call.delays[1:])
    whole = sum(call.whole and len(call.delays) == CHUNKS for call in calls)
    return Crowd(_milliseconds(later), whole, most, memory)


def _proportional(pid: int) -> float:
    """Return a process's memory in MB, of what it shares its part."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(told.partition("\nPss:")[2].split()[0]) / 1024
