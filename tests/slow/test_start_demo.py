"""`make demo`: a real model behind the gateway, and agents whose work is to be seen."""

import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.slow.model import is_installed
from tests.slow.newcomer import HAS_TOOLS, Run, check_out, curl, paste
from tests.slow.server import clean_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_TOOLS, reason="needs make, curl and git"),
    pytest.mark.skipif(not is_installed(), reason="needs the extra `demo`"),
]

BANNER_END = "Agents are at work"
AGENTS_END = "The agents are done."
START_SECONDS = 90  # until the model is loaded
AGENT_SECONDS = 240  # of a small model on a shared machine


class Demo(Run):
    target = "demo"
    installed = (".venv/installed", ".venv/installed-demo")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        [key] = set(re.findall(r"lk_test_\w+", self.output))
        return key

    def read(self, path: str) -> dict[str, Any]:
        text = curl("-H", f"Authorization: Bearer {self.key}", self.url + path)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def printed(self, first: str, last: str) -> str:
        """Return what was printed from a line's first words to the last ones."""
        start = self.output.index(f"\n{first}") + 1
        return self.output[start : self.output.index(last, start) + len(last)]


class Seen:
    """What there was to be seen of a demo from its start to Ctrl-C."""

    def __init__(self, tree: Path) -> None:
        with Demo(tree) as demo:
            demo.wait_for(BANNER_END, START_SECONDS)
            self.answer = paste(demo.printed("curl ", "}}'"))
            snippet = demo.printed("from openai", ".content)")
            demo.wait_for(AGENTS_END, AGENT_SECONDS)
            self.said_by_openai = run_snippet(snippet)
            self.runs = demo.read("/v1/orchestrations?limit=200")["orchestrations"]
            self.receipts = demo.read("/v1/receipts?limit=200")["receipts"]
            groups = demo.read("/v1/costs?group_by=model")["groups"]
            self.models = [group for group in groups if group["calls"]]  # else: steps
            self.month = demo.read("/v1/budgets")
            self.processes = demo.processes()
            demo.press_ctrl_c()
            demo.wait_for_end()
            self.key, self.output = demo.key, demo.output

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [it for it in self.receipts if it["receipt_type"] == "inference"]


def run_snippet(snippet: str) -> str | None:
    """Return what the lines print; None where OpenAI's client is not installed."""
    if importlib.util.find_spec("openai") is None:
        return None
    done = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return check_out(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def seen(tree) -> Seen:
    return Seen(tree)


def test_the_printed_curl_is_answered_by_the_model_with_a_receipt(seen):
    assert seen.answer["response"]
    assert seen.answer["receipt"]["observed"] == "witnessed"
    assert seen.answer["cost_cents"] > 0


def test_the_printed_lines_of_python_are_answered(seen):
    if seen.said_by_openai is None:
        pytest.skip("no connectors: make .venv/installed-connectors")
    assert seen.said_by_openai.strip()


def test_agents_leave_runs_of_every_ending(seen):
    found = Counter(run["status"] for run in seen.runs)
    assert found.keys() == {"completed", "failed", "cancelled", "timeout"}
    assert len({run["agent_id"] for run in seen.runs}) > 5
    assert len({run["workflow_id"] for run in seen.runs}) > 5


def test_agents_leave_calls_of_every_kind(seen):
    witnessed = [call for call in seen.calls if call["observed"] == "witnessed"]
    assert {call["streamed"] for call in witnessed} == {True, False}
    [failed] = [call for call in witnessed if call["outcome"] == "failed"]
    assert failed["http_status"] == 400
    [left] = [call for call in witnessed if call.get("delivered") is False]
    assert left["outcome"] == "completed"
    reported = [call for call in seen.calls if call["observed"] == "reported"]
    assert sorted(call["sequence"] for call in reported) == [1, 3]
    assert any(it["receipt_type"] == "compute" for it in seen.receipts)


def test_costs_are_known_but_of_one_model(seen):
    unpriced = {group["key"]: group["unpriced"] for group in seen.models}
    assert unpriced == {"smollm2-135m": 0, "SmolLM2-135M-Instruct.Q4_1.gguf": 2}
    [priced] = [group for group in seen.models if not group["unpriced"]]
    charged = [call for call in seen.calls if call["model"] == "smollm2-135m"]
    assert priced["calls"] == len(charged)
    assert priced["cost_cents"] > 0
    [budget] = seen.month["budgets"]
    assert budget["limit_cents"] == 100


def test_ctrl_c_ends_all_of_it(seen):
    assert len(seen.processes) >= 6  # make, demo, gunicorn's, tick, the model
    assert not [pid for pid in seen.processes if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in seen.output


def test_a_later_start_takes_the_same_key_and_shows_no_password(tree, seen):
    with Demo(tree) as demo:
        demo.wait_for(BANNER_END, START_SECONDS)
        demo.press_ctrl_c()  # while the agents are at work
        demo.wait_for_end()
        assert demo.key == seen.key
        assert "was shown on the first start" in demo.output
        assert "Traceback" not in demo.output
    [password] = re.findall(r"operator@localhost  (\S+)", seen.output)
    assert password not in demo.output


def test_a_custom_provider_of_somebody_else_stays(tree, seen):
    host = [
        "--base-url",
        "https://models.example/v1",
        "--allow-host",
        "--no-credential",
    ]
    manage(tree, "set_provider", "demo", "custom", *host)
    try:
        with Demo(tree) as demo:
            demo.wait_for_end()
            assert "a provider `custom` of its own" in demo.output
        listed = json.loads(manage(tree, "list_providers", "demo", "--json"))
        [provider] = listed["providers"]
        assert provider["url"] == "https://models.example/v1"
    finally:
        manage(tree, "remove_provider", "demo", "custom")


def manage(tree: Path, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    environment = clean_environment()
    return subprocess.check_output(command, cwd=tree, env=environment, text=True)
