"""Key, scope, limits and row-level security together ask the database twice at most."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import rate_limits
from tenants.models import ApiKey

ONE_QUERY = "/v1/mmr/root"  # of the view's own


def queries(caller):
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(ONE_QUERY).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.fixture
def known(alice):
    """Alice, whose key this process has looked up within the minute."""
    alice.record()
    alice.get(ONE_QUERY)
    return alice


def test_a_remembered_key_is_confirmed_by_one_query(known):
    guard, own = queries(known)
    assert "keyring_version" in guard
    assert "receipts_log" in own


def test_a_key_that_is_counted_is_confirmed_by_the_count(known, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL counts on a connection of its own")
    ApiKey.objects.filter(pk=known.key.pk).update(requests_per_minute=1000)
    known.tenant.forget_keys()
    known.get(ONE_QUERY)
    counts = []
    add = rate_limits._connection._add

    def counted(rows):
        counts.append(rows)
        return add(rows)

    monkeypatch.setattr(rate_limits._connection, "_add", counted)
    (own,) = queries(known)
    assert "receipts_log" in own
    assert len(counts) == 1


def test_a_remembered_key_that_ends_is_refused_at_once(known):
    known.key.revoke()
    answer = known.get(ONE_QUERY)
    assert answer.json()["error_code"] == "KEY_REVOKED"


def test_a_key_is_looked_up_by_one_query(alice):
    alice.record()
    alice.tenant.forget_keys()
    found = [sql for sql in queries(alice) if "tenants_apikey" in sql]
    assert len([sql for sql in found if "SELECT" in sql and "FOR " not in sql]) == 1
