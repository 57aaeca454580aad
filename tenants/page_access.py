"""Who sees a page, and whose data it shows: the wall in front of every page.

A page's address names the tenant, as /t/<slug>/audit, or leaves it to the one that the
person chose last. Of a tenant that one is no member of a page says what it says of one
that does not exist. Operators are no members by being operators: they use the admin.

Pages show live data, and with `?mode=test` test data, which has a log, keys and costs
of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.cache import add_never_cache_headers

from lucid.isolation import across_tenants, working_for
from tenants.models import Membership, Mode, Tenant
from tenants.roles import Right, who_may

CHOSEN = "tenant"  # in the session: the slug


class Door(NamedTuple):
    """A page of a tenant, as the navigation names it."""

    label: str
    name: str  # of the route
    right: Right | None  # None: any member


# Whichever app has the page: an order among them is nobody's but the navigation's.
DOORS = [
    Door("Overview", "home", None),
    Door("Receipts", "receipts", Right.READ_RECEIPTS),
    Door("Orchestrations", "orchestrations", Right.READ_RUNS),
    Door("Costs", "costs", Right.READ_COSTS),
    Door("Exports", "exports", Right.EXPORT),
    Door("Keys", "keys", Right.READ_RECEIPTS),
    Door("Members", "members", Right.READ_MEMBERS),
    Door("Access events", "audit", Right.READ_EVENTS),
    Door("Settings", "settings", Right.MANAGE_SETTINGS),
]


def of_tenant(route: str, view: "View", name: str) -> list[URLPattern]:
    """Return both addresses of a page: the tenant is the last chosen, or is named."""
    return [
        path(route, view, name=name),
        path(f"t/<slug:slug>/{route}", view, name=name),
    ]


@dataclass(frozen=True)
class Member:
    """The person who asks, with all memberships and the one that this page is of."""

    memberships: list[Membership]
    current: Membership | None
    mode: str = Mode.LIVE

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
            {"label": label, "name": name, "url": self.address(name)}
            for label, name, right in DOORS
            if right is None or right in self.current.rights
        ]

    @property
    def rights(self) -> frozenset[Right]:
        """What the person may do; templates ask for `"read receipts" in rights`."""
        return self.current.rights if self.current else frozenset()

    def may(self, right: Right) -> bool:
        return right in self.rights

    def address(self, name: str, *names: Any, **query: Any) -> str:
        """Return the address of a page of this tenant, in the same mode.

        `names` are what the route has in its path besides the slug. What is None or ""
        in the query is left out.
        """
        if self.mode != Mode.LIVE:
            query["mode"] = self.mode
        given = urlencode({k: v for k, v in query.items() if v not in (None, "")})
        url = reverse(name, args=[self.tenant.slug, *names])
        return f"{url}?{given}" if given else url


def in_other_mode(request: "PageRequest") -> HttpResponse:
    """Lead to the same page of the other mode, which has what this one has not.

    Ids are of one mode alone, and people carry them about without it.
    """
    query = request.GET.copy()
    if request.member.mode == Mode.LIVE:
        query["mode"] = Mode.TEST.value
    else:
        del query["mode"]
    url = f"{request.path}?{query.urlencode()}".removesuffix("?")
    return HttpResponseRedirect(url)


class PageRequest(HttpRequest):
    """What views behind this wall are given."""

    member: Member


View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """Let people in who are logged in, members of a tenant or not."""

    @wraps(view)
    def wall(
        request: PageRequest, slug: str | None = None, **names: Any
    ) -> HttpResponseBase:
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
        def wall(request: PageRequest, **names: Any) -> HttpResponseBase:
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
    mode = Mode.TEST if request.GET.get("mode") == Mode.TEST else Mode.LIVE
    return Member(memberships, chosen or next(iter(memberships), None), mode)


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
