"""That what the pages show is as real as it says it is."""

from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.slow


def test_its_runs_were_recorded_last_month(site):
    now = datetime.now(UTC)
    month_before = (now.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    with site.server.client(site.account) as client:
        for name in (site.names["run"], site.names["small_run"]):
            run = client.read(f"/v1/orchestrations/{name}")
            assert run["started_at"].startswith(month_before)
            assert run["completed_at"].startswith(month_before)
        answer = client.read(f"/v1/receipts/{site.names['receipt']}")
    issued = datetime.fromtimestamp(answer["receipt"]["issued_at"], UTC)
    assert f"{issued:%Y-%m}" == month_before


def test_its_log_and_books_are_sound(site):
    assert site.installation.verify_log(site.account)["verdict"] == "VALID"
    assert site.installation.check_rollups(site.account)["verdict"] == "EQUAL"


def test_it_has_every_ending_and_both_kinds_of_calls(site):
    with site.server.client(site.account) as client:
        runs = client.read("/v1/orchestrations?limit=200")["orchestrations"]
        receipts = client.read("/v1/receipts?limit=200")["receipts"]
    endings = {run["status"] for run in runs}
    assert endings == {"running", "completed", "failed", "cancelled", "timeout"}
    calls = [it for it in receipts if it["receipt_type"] == "inference"]
    assert {call["observed"] for call in calls} == {"witnessed", "reported"}
    assert {call.get("outcome") for call in calls} >= {"completed", "failed"}
