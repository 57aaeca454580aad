"""The page of steps that cost something: the records behind the costs of steps."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http.response import HttpResponseBase
from django.shortcuts import render

from lucid.api.errors import ApiError
from lucid.api.pagination import DEFAULT_LIMIT
from lucid.csv_answer import csv_answer
from lucid.list_page import Choice, Column, chips, choices
from orchestrations import step_search
from orchestrations.cost_forms import StepForm
from orchestrations.cost_tables import cents
from orchestrations.list_downloads import note_download
from orchestrations.models import Orchestration, Step
from orchestrations.recording import iso_time
from orchestrations.step_search import Place
from tenants.page_access import PageRequest, member
from tenants.roles import Right

TEMPLATE = "orchestrations/step_list.html"


@dataclass(frozen=True)
class Shown:
    """A step as the page has it, with its run."""

    step: Step
    run: Orchestration

    @property
    def before(self) -> int:
        """The step after which the page of its run begins with it."""
        return self.step.step_number - 1


COLUMNS = [
    Column("time", "Recorded"),
    Column("run", "Run"),
    Column("number", "Step", is_number=True),
    Column("action", "Action"),
    Column("name", "Name"),
    Column("agent", "Agent"),
    Column("workflow", "Workflow", is_usual=False),
    Column("cost", "Cost, US$", is_number=True),
]
# What a column of the page is in the file: units in the head, times in ISO 8601.
IN_CSV: dict[str, tuple[str, Callable[[Shown], Any]]] = {
    "time": ("recorded_at", lambda row: iso_time(row.step.recorded_at)),
    "run": ("orchestration_id", lambda row: row.step.orchestration_id),
    "number": ("step_number", lambda row: row.step.step_number),
    "action": ("action", lambda row: row.step.action),
    "name": ("name", lambda row: row.step.name),
    "agent": ("agent_id", lambda row: row.step.agent_id),
    "workflow": ("workflow_id", lambda row: row.run.workflow_id),
    "cost": ("cost_cents", lambda row: cents(row.step.cost)),
}


@member(can=Right.READ_COSTS)
def steps(request: PageRequest) -> HttpResponseBase:
    form = StepForm(request.GET)
    try:
        place = _place(request)
    except ApiError:  # a cursor that somebody has made up
        return render(request, TEMPLATE, {"form": form, "bad_cursor": True}, status=400)
    if not form.is_valid():
        return render(request, TEMPLATE, {"form": form}, status=400)
    search = form.search(request.member.tenant.pk, request.member.mode)
    found = search.page(place, DEFAULT_LIMIT)
    rows = _with_runs(found.steps)
    chosen = choices(request.GET, COLUMNS)
    if form.cleaned_data["format"]:
        return _csv(request, rows, chosen)
    context = {
        "form": form,
        "chips": chips(request.GET, form.chips),
        "choices": chosen,
        "shown": {choice.column.name for choice in chosen if choice.is_shown},
        "rows": rows,
        "cost": search.cost(),
        "sum": sum((row.step.cost or 0 for row in rows), Decimal(0)),
        "found": found,
        "looked_through": step_search.LOOKED_THROUGH,
        "next_cursor": None if found.looked_back_to else found.next_cursor,
        "is_newest": place is None,
    }
    return render(request, TEMPLATE, context)


def _place(request: PageRequest) -> Place | None:
    cursor = request.GET.get("cursor")
    return Place.read(cursor) if cursor else None


def _with_runs(steps: list[Step]) -> list[Shown]:
    runs = Orchestration.objects.only("id", "name", "workflow_id").in_bulk(
        {step.orchestration_id for step in steps}
    )
    return [Shown(step, runs[step.orchestration_id]) for step in steps]


def _csv(
    request: PageRequest, rows: list[Shown], chosen: list[Choice]
) -> HttpResponseBase:
    note_download(request, "steps", len(rows))
    parts = [IN_CSV[choice.column.name] for choice in chosen if choice.is_shown]
    head = [name for name, _ in parts]
    return csv_answer(
        "steps.csv", head, [[value(row) for _, value in parts] for row in rows]
    )
