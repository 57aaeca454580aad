"""Who sees a page, and whose data it shows: the wall in front of every page.

A page's address names the tenant, as /t/<slug>/audit, or leaves it to the one that the
person chose last. Of a tenant that one is no member of a page says what it says of one
that does not exist. Operators are no members by being operators: they use the admin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from tenants.isolation import across_tenants, working_for
from tenants.models import Membership, Tenant
from tenants.roles import Right, who_may

CHOSEN = "tenant"  # in the session: the slug


class Door(NamedTuple):
    """A page of a tenant, as the navigation names it."""

    label: str
    name: str  # of the route
    right: Right | None  # None: any member


DOORS = [
    Door("Overview", "home", None),
    Door("Access events", "audit", Right.READ_EVENTS),
    Door("Members", "members", Right.READ_MEMBERS),
]


@dataclass(frozen=True)
class Member:
    """The person who asks, with all memberships and the one that this page is of."""

    memberships: list[Membership]
    current: Membership | None

    @property
    def tenant(self) -> Tenant:
        assert self.current  # noqa: S101  pages of a tenant have one
        return self.current.tenant

    @property
    def is_suspended(self) -> bool:
        return self.tenant.status == Tenant.Status.SUSPENDED

    @property
    def doors(self) -> list[dict[str, str]]:
        """The pages that are open to the person in this tenant."""
        if self.current is None or self.is_suspended:
            return []
        return [
            {"label": label, "name": name, "url": self.url_of(name)}
            for label, name, right in DOORS
            if right is None or right in self.current.rights
        ]

    def may(self, right: Right) -> bool:
        return self.current is not None and right in self.current.rights

    def url_of(self, name: str, **names: Any) -> str:
        return reverse(name, kwargs={"slug": self.tenant.slug, **names})


class PageRequest(HttpRequest):
    """What views behind this wall are given."""

    member: Member


View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """Let people in who are logged in, members of a tenant or not."""

    @wraps(view)
    def wall(
        request: PageRequest, slug: str | None = None, **names: Any
    ) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        request.member = _find(request, slug)
        answer = view(request, **names)
        add_never_cache_headers(answer)  # nor shown by Back once logged out
        return answer

    return wall


def member(
    *, can: Right | None = None, to_post: Right | None = None
) -> Callable[[View], View]:
    """Let members of the page's tenant in who have a right, working for the tenant.

    `to_post` is needed besides to change something.
    """

    def decorate(view: View) -> View:
        @signed_in
        @wraps(view)
        def wall(request: PageRequest, **names: Any) -> HttpResponse:
            needed = [can, to_post if request.method == "POST" else None]
            if refusal := _refusal(request, [right for right in needed if right]):
                return refusal
            with working_for(request.member.tenant.pk):
                return view(request, **names)

        return wall

    return decorate


def _find(request: HttpRequest, slug: str | None) -> Member:
    with across_tenants():  # which tenants those are is the question
        memberships = list(Membership.objects.of_user(request.user))
    by_slug = {membership.tenant.slug: membership for membership in memberships}
    if slug is not None and slug not in by_slug:
        raise Http404
    chosen = by_slug.get(slug or request.session.get(CHOSEN, ""))
    return Member(memberships, chosen or next(iter(memberships), None))


def _refusal(request: PageRequest, needed: list[Right]) -> HttpResponse | None:
    if request.member.current is None:
        return render(request, "tenants/no_tenant.html", status=403)
    if request.member.is_suspended:
        return render(request, "tenants/suspended.html", status=403)
    for right in needed:
        if not request.member.may(right):
            lacking = {"right": right, "roles": who_may(right)}
            return render(request, "tenants/no_right.html", lacking, status=403)
    return None
