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

    The run and the receipt are of last month, and so is `{small_run}`, which cost less.
    Of today are runs that are `{running}`, miss a call (`{gap}`), and have names as
    long and as strange as may be (`{odd}`).
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


def names_of_terms(
    installation: Installation, account: Account, people: dict[str, Person]
) -> dict[str, str]:
    """Return names of what was set up, as addresses of pages have them."""
    user = f"SELECT id FROM tenants_user WHERE email = '{people['analyst'].email}'"  # noqa: S608
    signing_keys = installation.list_signing_keys(account)
    return {
        "member": _id(installation, "tenants_membership", f"user_id = ({user})"),
        "api_key": _id(installation, "tenants_apikey", "name = 'test'"),
        "price": _id(installation, "orchestrations_price", "provider = 'custom'"),
        "kid": next(key["kid"] for key in signing_keys if key["purpose"] == "receipt"),
        "provider": "custom",
    }


def _id(installation: Installation, table: str, condition: str) -> str:
    query = f"SELECT id FROM {table} WHERE {condition}"  # noqa: S608
    with closing(installation.connect()) as connection:
        ((name,),) = connection.execute(query).fetchall()
    # SQLite has UUIDs as text without hyphens.
    return str(uuid.UUID(name)) if isinstance(name, str) else str(name)
