"""What access events tell of a row before and after a change, without its secrets."""

from decimal import Decimal
from typing import Any

from django.db import models

HIDDEN = "(not shown)"
CHANGED = "(changed, not shown)"
SECRET_NAMES = frozenset({"password", "mac", "sealed", "seed"})
# What events tell by themselves, or what changes with every change.
OF_NO_INTEREST = frozenset(
    {"tenant", "created_at", "updated_at", "keyring_version", "last_login"}
)
AS_THEY_ARE = (bool, int, str, list, dict, type(None))

State = dict[str, Any]


def state_of(obj: models.Model) -> State:
    """Return a row's columns; of a secret one a trace that shows whether it changed."""
    return {
        field.name: _Secret(field.value_from_object(obj))
        if is_secret(field)
        else _plain(field.value_from_object(obj))
        for field in obj._meta.concrete_fields
        if field.name not in OF_NO_INTEREST
    }


def is_secret(field: Any) -> bool:
    """Bytes are MACs and sealed keys; what else is secret goes by its name."""
    return isinstance(field, models.BinaryField) or field.name in SECRET_NAMES


class _Secret:
    """A value that is compared, and never written down."""

    def __init__(self, value: Any) -> None:
        self._value = bytes(value) if isinstance(value, memoryview) else value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Secret) and self._value == other._value

    __hash__ = None  # type: ignore[assignment]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"  # the same for 0.5 as typed and as stored
    return value if isinstance(value, AS_THEY_ARE) else str(value)


def shown(state: State, instead: str = HIDDEN) -> State:
    return {
        name: instead if isinstance(value, _Secret) else value
        for name, value in state.items()
    }


def difference(before: State, after: State) -> tuple[State, State]:
    """Return what changed, as it was and as it is, without what is secret."""
    names = [name for name in after if before.get(name) != after[name]]
    return (
        shown({name: before[name] for name in names if name in before}),
        shown({name: after[name] for name in names}, CHANGED),
    )
