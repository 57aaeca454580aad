"""What the browser looks at: a server, a tenant, its people, and what was recorded.

Everything came about as it does elsewhere: by commands of the operator, and by programs
that talk to the API.
"""

import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tests.slow.server import Account, Installation, Server

ROLES = ("analyst", "auditor", "admin")
LOGGED_OUT = None  # the role of a stranger


@dataclass(frozen=True)
class Person:
    email: str
    password: str


@dataclass
class Site:
    """`names` are what paths of pages have in them: {run}, {receipt}, {member}.

    Both are of last month, and so is `{small_run}`, one that cost less.
    """

    installation: Installation
    server: Server
    account: Account
    people: dict[str, Person]
    names: dict[str, str]
    # Cookies of each role, once it has logged in.
    sessions: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def address(self, path: str) -> str:
        return path.format_map({"slug": self.account.slug, **self.names})


def add_people(installation: Installation, slug: str) -> dict[str, Person]:
    """Let somebody of each role log in."""

    def add(role: str) -> Person:
        person = Person(f"{role}-{slug}@example.com", secrets.token_urlsafe(16))
        installation.ask("create_user", person.email, line=person.password)
        installation.ask("add_member", slug, person.email, "--role", role)
        return person

    with ThreadPoolExecutor(len(ROLES)) as pool:
        return dict(zip(ROLES, pool.map(add, ROLES), strict=True))


def membership_of(installation: Installation, person: Person) -> str:
    """Return the name that a member has in addresses of pages."""
    user = f"SELECT id FROM tenants_user WHERE email = '{person.email}'"  # noqa: S608
    query = f"SELECT id FROM tenants_membership WHERE user_id = ({user})"  # noqa: S608
    with closing(installation.connect()) as connection:
        ((name,),) = connection.execute(query).fetchall()
    return str(uuid.UUID(str(name)))
