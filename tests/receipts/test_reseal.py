"""Everything sealed goes under the first master key, while the system runs."""

import io
import json
import secrets
import uuid

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from orchestrations.gateway.salts import Salts
from orchestrations.models import ContentSalts, ProviderCredential
from receipts import keyring, resealing
from receipts.models import SigningKey
from receipts.resealing import count_outdated, reseal
from receipts.sealing import Unsealable, seal, sealed_columns, unseal
from tenants import events
from tenants.models import AccessEvent
from tests.receipts.auditor import grow, vkey
from tests.receipts.key_operator import active_kid

SECRET = "sk-proj-4Zq8vN2xW7mT5rJ9"


NEW = {"new": secrets.token_bytes(32)}


def seal_all(master_keys):
    with override_settings(LUCID_MASTER_KEYS=master_keys):
        reseal(events.command_line(), int)
        assert count_outdated() == 0


@pytest.fixture(scope="module")
def rows_of_others(_database, django_db_blocker):
    """What is tested seals the rows of all tests anew. It does so to those of others
    here, once, and gives them back under the old key.
    """
    before = dict(settings.LUCID_MASTER_KEYS)
    with django_db_blocker.unblock():
        seal_all(NEW | before)
    yield
    with django_db_blocker.unblock():
        seal_all(before | NEW)


@pytest.fixture
def master_keys(rows_of_others, database, settings):
    """The master keys as they were and one more, `new`, first."""
    settings.LUCID_MASTER_KEYS = NEW | settings.LUCID_MASTER_KEYS
    return settings.LUCID_MASTER_KEYS


@pytest.fixture
def sealed(alice, settings):
    """A row of each kind, sealed before the new key was known."""
    grow(alice, 2)
    provider = ProviderCredential(tenant=alice.tenant, provider="openai")
    provider.credential = SECRET
    provider.save()
    salts = Salts.fresh()
    receipt_id = uuid.uuid4()
    ContentSalts.objects.create(**salts.row(receipt_id, alice.tenant.pk))
    return provider.pk, receipt_id, salts


def run():
    return reseal(events.command_line(), int)


def fresh_keyring(caller):
    keyring._memory.clear()
    return keyring.keyring_for(caller.tenant.pk, "live")


def test_each_table_that_holds_sealed_values_is_known(database):
    tables = {column.model._meta.db_table: column.name for column in sealed_columns}
    assert tables == {
        "receipts_signingkey": "sealed_seed",
        "orchestrations_providercredential": "sealed",
        "orchestrations_contentsalts": "sealed",
    }


def test_every_row_says_the_same_under_the_new_key(alice, sealed, master_keys):
    provider, receipt_id, salts = sealed
    before = vkey(alice)
    done = run()
    assert done.rows.keys() == {
        column.model._meta.db_table for column in sealed_columns
    }
    assert all(done.rows.values())
    assert ProviderCredential.objects.get(pk=provider).credential == SECRET
    assert Salts.of(ContentSalts.objects.get(pk=receipt_id)) == salts
    assert str(before) == fresh_keyring(alice).vkey
    assert alice.record()["signer_kid"] == active_kid(alice)


def test_the_old_key_is_needed_no_more(alice, sealed, master_keys, settings):
    provider, receipt_id, _ = sealed
    done = run()
    assert done.used.keys() == {"new"}
    assert done.retirable(list(master_keys)) == [*master_keys][1:]
    settings.LUCID_MASTER_KEYS = {"new": master_keys["new"]}
    assert ProviderCredential.objects.get(pk=provider).credential == SECRET
    assert Salts.of(ContentSalts.objects.get(pk=receipt_id))
    assert fresh_keyring(alice)


def test_the_new_key_alone_opens_nothing_before(alice, sealed, master_keys, settings):
    settings.LUCID_MASTER_KEYS = {"new": master_keys["new"]}
    with pytest.raises(Unsealable):
        fresh_keyring(alice)


def test_again_it_has_nothing_to_do(sealed, master_keys):
    run()
    events_before = AccessEvent.objects.filter(tenant=None).count()
    before = dict(SigningKey.objects.values_list("pk", "sealed_seed"))
    assert not any(run().rows.values())
    assert dict(SigningKey.objects.values_list("pk", "sealed_seed")) == before
    assert AccessEvent.objects.filter(tenant=None).count() == events_before


def test_interrupted_it_goes_on_where_it_was(alice, sealed, master_keys, monkeypatch):
    monkeypatch.setattr(resealing, "BATCH", 1)
    total = count_outdated()
    assert total >= 4
    rows = resealing._reseal_row
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OperationalError("killed")
        return rows(*arguments)

    monkeypatch.setattr(resealing, "_reseal_row", killed)
    with pytest.raises(OperationalError):
        run()
    assert count_outdated() == total - 2  # two batches were durable
    assert fresh_keyring(alice)  # under either key
    monkeypatch.setattr(resealing, "_reseal_row", rows)
    assert sum(run().rows.values()) == total - 2
    assert fresh_keyring(alice)


def test_a_row_that_changes_meanwhile_is_not_overwritten(
    sealed, master_keys, monkeypatch
):
    provider, *_ = sealed
    changed: list[int] = []

    def changing(key_id, value):
        plain = unseal(key_id, value)
        if plain == SECRET.encode() and not changed:
            changed.append(1)
            row = ProviderCredential.objects.get(pk=provider)
            row.master_key_id, row.sealed = key_id, under(key_id, b"sk-other")
            row.save()
        return plain

    def under(key_id, plain):
        from nacl.secret import SecretBox

        return bytes(SecretBox(master_keys[key_id]).encrypt(plain))

    monkeypatch.setattr(resealing, "unseal", changing)
    run()
    assert changed
    row = ProviderCredential.objects.get(pk=provider)
    assert (row.master_key_id, row.credential) == ("new", "sk-other")


def test_what_cannot_be_unsealed_is_told_of_and_left(alice, sealed, master_keys, shell):
    _, receipt_id, _ = sealed
    lost = ContentSalts.objects.create(
        receipt_id=uuid.uuid4(),
        tenant=alice.tenant,
        sealed=b"?" * 72,
        master_key_id="lost",
    )
    try:
        code, out, err = shell("rotate_master_key", "--json")
        assert (code, err) == (1, "")
        told = json.loads(out)
        assert told["unsealable"] == {"lost": 1}
        assert told["rows_by_master_key"]["lost"] == 1
        lost.refresh_from_db()
        assert (lost.master_key_id, bytes(lost.sealed)) == ("lost", b"?" * 72)
        assert ContentSalts.objects.get(pk=receipt_id).master_key_id == "new"
        code, out, _ = shell("rotate_master_key")
        assert code == 1
        assert "1 rows need lost, which cannot unseal them." in out.splitlines()
    finally:
        lost.delete()


class TestTheCommand:
    def test_it_says_what_was_done(self, lines, sealed, master_keys):
        old = [*master_keys][1]
        first, second = lines("rotate_master_key")
        assert first.startswith("Sealed under new: ")
        assert "rows of receipts_signingkey" in first
        assert second == f"No row needs {old} any more."

    def test_as_json(self, as_json, sealed, master_keys):
        total = count_outdated()
        told = as_json("rotate_master_key")
        assert told["master_key"] == "new"
        assert sum(told["resealed"].values()) == total
        assert told["no_longer_used"] == [*master_keys][1:]
        assert told["rows_by_master_key"].keys() == {"new"}
        assert told["unsealable"] == {}

    def test_it_leaves_events_of_the_installation(self, lines, sealed, master_keys):
        start = timezone.now()
        total = count_outdated()
        lines("rotate_master_key")
        rows = AccessEvent.objects.filter(tenant=None, recorded_at__gte=start)
        began, done = rows.order_by("recorded_at")
        assert (began.action, done.action) == (
            "master_key.rotation_began",
            "master_key.rotated",
        )
        assert began.object_id == done.object_id == "new"
        assert done.after
        assert sum(done.after["rows"].values()) == total

    def test_a_bar_is_for_terminals(self, master_keys, sealed, monkeypatch, capsys):
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        call_command("rotate_master_key", stdout=io.StringIO())
        assert "rows" in capsys.readouterr().err


def test_sealing_goes_by_the_first_key(master_keys):
    key_id, sealed = seal(b"x")
    assert key_id == "new"
    assert unseal(key_id, sealed) == b"x"
