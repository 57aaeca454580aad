import uuid

import pytest
from django.test import Client

from tenants.models import User


@pytest.fixture
def operator(database):
    # Without a password: hashing one takes a third of a second.
    fields = {"is_staff": True, "is_superuser": True, "password": "!"}
    client = Client()
    client.force_login(
        User.objects.create(email=f"{uuid.uuid4()}@example.com", **fields)
    )
    return client
