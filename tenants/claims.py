"""What a caller may say of API keys."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lucid.api.errors import invalid
from tenants.allowed_addresses import network
from tenants.scopes import KNOWN

DAY = 86_400  # seconds
MOST_LIFETIME = 3_650 * DAY
MOST_OVERLAP = 30 * DAY

NO_CONTROLS = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_CONTROLS)]
Short = Annotated[str, Meta(min_length=1, max_length=60)]


class NewApiKey(msgspec.Struct, frozen=True):
    """The body of POST /v1/api-keys. What is left out is as of the key that asks."""

    name: Name
    scopes: Annotated[list[Short], Meta(min_length=1, max_length=50)]
    mode: Literal["live", "test"] | None = None
    expires_in_seconds: Annotated[int, Meta(ge=1, le=MOST_LIFETIME)] | None = None
    allowed_addresses: Annotated[list[Short], Meta(max_length=100)] | None = None
    requests_per_minute: Annotated[int, Meta(ge=1, le=999_999_999)] | None = None

    def check(self) -> None:
        """Raise the 400 for what a type cannot say."""
        details: dict[str, list[str]] = {}
        if unknown := sorted(set(self.scopes) - KNOWN):
            named = ", ".join(map(repr, unknown))
            details["scopes"] = [
                f"{named}: expected one or more of {', '.join(sorted(KNOWN))}."
            ]
        for place, text in enumerate(self.allowed_addresses or ()):
            try:
                network(text)
            except ValueError as error:
                details[f"allowed_addresses[{place}]"] = [f"{error}."]
        if details:
            raise invalid(details)


class Rotation(msgspec.Struct, frozen=True):
    """The body of a rotation, which may be empty."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MOST_OVERLAP)] = DAY

    @property
    def overlap(self) -> timedelta:
        return timedelta(seconds=self.overlap_seconds)


class Revocation(msgspec.Struct, frozen=True):
    """The body of a revocation, which may be empty. The reason is for auditors."""

    reason: Annotated[str, Meta(max_length=1000, pattern=NO_CONTROLS)] = ""
