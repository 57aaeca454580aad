"""A view whose success is confirmed by the ledger's transaction.

So it may authenticate from memory, as `tenants.authentication` explains. An error
is confirmed by no transaction: before it is answered the key is looked up, and a
key that has ended gets the error that says so.
"""

from collections.abc import Callable
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from lucid.api.connections import discard_dead
from lucid.api.errors import unavailable
from lucid.api.idempotency import claim_of, conflict
from lucid.api.rendering import Answer
from lucid.api.views import ApiView
from receipts.entry import Entry
from receipts.keyring import Keyring, keyring_for
from receipts.ledger import (
    LedgerUnavailable,
    StaleKeyring,
    Submission,
    append,
)
from tenants.authentication import ApiKeyAuthentication, Principal, refresh

# At signing, while keys keep changing: one is lost to each change that comes first,
# and an operator may make several in a row.
ATTEMPTS = 10

Prepare = Callable[[Keyring], list[Entry]]
Render = Callable[[list[Any]], tuple[int, bytes]]
Compose = Callable[[Keyring, Principal], Submission]


class LedgerView(ApiView):
    """POST appends to the ledger; other methods are those of any view."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        # There is no request while the OpenAPI document is made.
        if getattr(self.request, "method", None) == "POST":
            return [ApiKeyAuthentication(from_memory=True)]
        return super().get_authenticators()

    def handle_exception(self, exc: Exception) -> Response:
        # `_auth` is what authentication found; asking for `auth` would try again.
        known = isinstance(getattr(self.request, "_auth", None), Principal)
        if known and self.request.method == "POST":
            try:
                refresh(self.request)
            except Exception as ended:
                exc = ended
        return super().handle_exception(exc)

    def append(self, request: Request, prepare: Prepare, render: Render) -> Answer:
        """Sign what `prepare` makes, log it, and answer with what `render` makes.

        `render` turns the results into a status and body. It may be called under
        the locks of the transaction, and does not raise.
        """
        return self.submit(
            request, lambda keyring, _: Submission(keyring, prepare(keyring)), render
        )

    def submit(self, request: Request, compose: Compose, render: Render) -> Answer:
        """As `append`, for a whole submission: one that keeps books, say."""

        def claiming(keyring: Keyring, principal: Principal) -> Submission:
            submission = compose(keyring, principal)
            submission.claim = claim_of(request, principal.tenant_id, principal.mode)
            submission.render = render
            return submission

        return _answer(self.appended(request, claiming), render)

    def appended(self, request: Request, compose: Compose) -> Submission:
        """Return what `compose` makes, its results durable; raises the 503."""
        for _ in range(ATTEMPTS):
            principal: Principal = request.auth  # type: ignore[assignment]
            keyring = keyring_for(
                principal.tenant_id, principal.mode, principal.keyring_version
            )
            submission = compose(keyring, principal)
            try:
                return append(submission)
            except StaleKeyring:
                request.auth = refresh(request)
            except LedgerUnavailable:
                discard_dead()  # those for reading had the same server
                raise unavailable() from None
        raise unavailable()


def _answer(submission: Submission, render: Render) -> Answer:
    first, claim = submission.answer, submission.claim
    if first is None or claim is None:
        status, body = render(submission.results)
        return Answer(body, status)
    if first.fingerprint != claim.fingerprint:
        raise conflict()
    answer = Answer(first.body, first.status)
    answer["Idempotent-Replayed"] = "true"
    return answer
