"""Sessions of which the database knows a hash of the key alone (SESSION_ENGINE).

The key is the cookie: Django's own rows would log in whoever reads them.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.contrib.sessions.models import Session
from django.utils import timezone

HASH_BYTES = 30  # 240 bits fill the column's 40 characters


def hash_of(session_key: str) -> str:
    """Return what the row of a session has in place of its key.

    A key has 165 random bits, so that nothing slower than SHA-256 is needed.
    """
    digest = sha256(session_key.encode()).digest()
    return urlsafe_b64encode(digest[:HASH_BYTES]).decode()


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> AbstractBaseSession | None:
        row = Session.objects.filter(
            session_key=hash_of(self.session_key or ""), expire_date__gt=timezone.now()
        ).first()
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        return super().exists(hash_of(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        row = super().create_model_instance(data)
        row.session_key = hash_of(row.session_key)
        return row

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        # Nothing here is asynchronous. Django's own would write the key itself.
        raise NotImplementedError

    def delete(self, session_key: str | None = None) -> None:
        if session_key := session_key or self.session_key:
            super().delete(hash_of(session_key))
