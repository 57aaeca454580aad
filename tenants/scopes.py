"""What a credential may do: `resource:action`, `resource:*`, `*` (WIRE section 1)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code

if TYPE_CHECKING:
    # Views import this module's class for their settings.
    from lucid.api.views import ApiView

ACTIONS = {
    "receipts": ("read", "write"),
    "orchestrations": ("read", "write"),
    "metrics": ("read",),
    "keys": ("read", "write"),
    "audit": ("read",),
}
KNOWN = {
    "*",
    *(f"{resource}:*" for resource in ACTIONS),
    *(f"{resource}:{action}" for resource in ACTIONS for action in ACTIONS[resource]),
}
# In the order of a form. `resource:*` is both of a resource's, for who writes it so.
IN_WORDS = {
    "receipts:read": "Read and verify receipts",
    "receipts:write": "Report runs and get receipts",
    "orchestrations:read": "Read orchestrations and their calls",
    "orchestrations:write": "Start and report orchestrations, and call models",
    "metrics:read": "Read costs, usage and budgets",
    "keys:read": "List API keys",
    "keys:write": "Issue, rotate and revoke API keys, within what it may itself",
    "audit:read": "Read access events",
    "*": "All of this",
}


def allows(granted: Iterable[str], needed: str) -> bool:
    resource = needed.partition(":")[0]
    return not {"*", f"{resource}:*", needed}.isdisjoint(granted)


class HasScope(BasePermission):
    """The view's scope for the method; a method without one is open to any key."""

    def has_permission(self, request: Request, view: "ApiView") -> bool:  # type: ignore[override]
        principal: Any = request.auth
        if not principal:
            return False
        # A HEAD tells whether there is an answer, and how long it is.
        method = "GET" if request.method == "HEAD" else request.method
        needed = view.scopes.get(method or "")
        if needed and not allows(principal.scopes, needed):
            what = "token" if principal.kind == "token" else "key"
            raise ApiError(
                Code.INSUFFICIENT_SCOPE,
                f"This {what} lacks the scope {needed}.",
                details={"scope": [needed]},
            )
        return True
