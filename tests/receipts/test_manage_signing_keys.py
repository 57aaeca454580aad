"""The pages of a log's signing keys: read by auditors, changed by admins."""

import re
from typing import Any

import pytest

from receipts.keyring import keyring_for
from tests.receipts.auditor import grow
from tests.receipts.key_operator import active_kid, published, range_of, revoke, rotate
from tests.receipts.tampering import receipt_row
from tests.tenants.people import Person, events_of, new_person


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


@pytest.fixture
def auditor(acme) -> Person:
    return new_person(acme, "auditor")


def text_of(answer: Any) -> str:
    """What a page says, without its markup."""
    plain = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", plain)


def row_of(answer: Any, kid: str) -> str:
    rows = re.findall(r"<tr>.*?</tr>", answer.content.decode(), re.DOTALL)
    (row,) = [row for row in rows if f'data-copy="{kid}"' in row]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", row))


def key(kid: str, action: str, mode: str = "live") -> str:
    return f"/keys/{kid}/{action}" + ("?mode=test" if mode == "test" else "")


class TestRead:
    def test_without_a_log_it_says_where_keys_come_from(self, auditor):
        answer = auditor.get("/keys")
        assert answer.status_code == 200
        assert "There are no signing keys yet" in text_of(answer)

    def test_each_key_has_its_status_and_where_it_counts(self, alice, auditor):
        grow(alice, 2)
        old = active_kid(alice)
        rotate(alice)
        page = auditor.get("/keys")
        assert "Retired" in row_of(page, old)
        assert "for entries 0 to 2" in row_of(page, old)
        assert "In use" in row_of(page, active_kid(alice))
        assert "from entry 3 on" in row_of(page, active_kid(alice))

    def test_a_key_of_which_nothing_counts_says_so(self, alice, auditor):
        grow(alice, 2)
        kid = active_kid(alice)
        revoke(alice, kid, -1)
        told = row_of(auditor.get("/keys"), kid)
        assert "Revoked" in told
        # Key sets have no negative number: entry 0 is before the published range.
        assert "for no entry" in told

    def test_keys_that_overlap_are_both_there_to_be_pinned(self, acme, alice, auditor):
        grow(alice, 1)
        rotate(alice, "checkpoint")
        page = auditor.get("/keys").content.decode()
        vkeys = keyring_for(acme.pk, "live").vkeys
        assert len(vkeys) == 2
        for vkey in vkeys:
            assert vkey in page.partition("Pin the log")[2].partition("</dl>")[0]

    def test_test_data_has_keys_of_its_own(self, acme, alice, alice_test, auditor):
        grow(alice, 1)
        grow(alice_test, 1)
        live, test = (p.content.decode() for p in map(auditor.get, MODES))
        assert active_kid(alice) in live
        assert active_kid(alice) not in test
        assert active_kid(alice_test) in test
        assert active_kid(alice_test) not in live

    def test_the_file_is_the_published_set_and_its_download_an_event(
        self, acme, alice, auditor
    ):
        grow(alice, 1)
        answer = auditor.get("/keys/jwks.json")
        assert {it["kid"] for it in answer.json()["keys"]} == published(alice).keys()
        assert answer["Content-Disposition"].startswith("attachment")
        (event,) = events_of(acme)
        assert (event.action, event.actor_name) == (
            "signing_key.exported",
            auditor.user.email,
        )

    def test_who_may_only_read_is_offered_no_change(self, alice, auditor):
        grow(alice, 1)
        page = auditor.get("/keys").content.decode()
        assert "/rotate" not in page
        assert "/revoke" not in page

    def test_its_queries_do_not_grow(
        self, alice, auditor, django_assert_max_num_queries
    ):
        grow(alice, 1)
        for _ in range(3):
            rotate(alice)
        with django_assert_max_num_queries(5):
            auditor.get("/keys")


MODES = ["/keys", "/keys?mode=test"]


class TestRotate:
    def test_a_new_key_signs_and_the_log_says_why(self, acme, alice, admin):
        grow(alice, 2)
        old = active_kid(alice)
        form = {"kid": old[:8], "reason": "once a year"}
        answer = admin.post(key(old, "rotate"), form)
        assert answer["Location"] == f"/t/{acme.slug}/keys"
        assert range_of(alice, old) == ("retired", 0, 2)
        assert receipt_row(alice, 2).as_json()["reason"] == "once a year"
        assert "signs from the next entry on" in text_of(admin.get("/keys"))
        (event,) = events_of(acme)
        assert (event.action, event.object_id, event.reason, event.actor_name) == (
            "signing_key.rotated",
            old,
            "once a year",
            admin.user.email,
        )

    def test_checkpoint_keys_overlap_as_long_as_was_asked(self, alice, admin):
        grow(alice, 2)
        old = active_kid(alice, "checkpoint")
        form = {"kid": old, "reason": "yearly", "overlap_days": "2"}
        assert admin.post(key(old, "rotate"), form).status_code == 302
        entry = receipt_row(alice, 2).as_json()
        days = (entry["old_key"]["overlap_until"] - entry["issued_at"]) / 86_400
        assert abs(days - 2) < 0.01

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"reason": ""}, "This field is required"),
            ({"reason": "x" * 501}, "at most 500 characters"),
            ({"reason": "two\nlines"}, "one line of printable characters"),
            ({"reason": "a\0b"}, "Null characters are not allowed"),
            ({"kid": ""}, "This field is required"),
            ({"kid": "1234567"}, "This is not the key chosen"),
            ({"kid": "{kid:.7}"}, "This is not the key chosen"),
            ({"overlap_days": "0"}, "greater than or equal to 1"),
            ({"overlap_days": "9" * 40}, "less than or equal to 365"),
            ({"overlap_days": ""}, "This field is required"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(
        self, acme, alice, admin, changed, complaint
    ):
        grow(alice, 2)
        kid = active_kid(alice, "checkpoint")
        form = {"kid": kid, "reason": "yearly", "overlap_days": "2"} | changed
        form["kid"] = form["kid"].format(kid=kid)
        answer = admin.post(key(kid, "rotate"), form)
        assert answer.status_code == 400
        assert complaint in text_of(answer)
        assert active_kid(alice, "checkpoint") == kid
        assert events_of(acme) == []

    def test_a_key_that_is_not_in_use_is_left_alone(self, alice, admin):
        grow(alice, 1)
        old = active_kid(alice)
        rotate(alice)
        now = active_kid(alice)
        form = {"kid": old, "reason": "again"}
        assert admin.post(key(old, "rotate"), form).status_code == 302
        assert active_kid(alice) == now
        assert "This key is not in use" in text_of(admin.get("/keys"))


class TestRevoke:
    def test_later_signatures_stop_to_count(self, acme, alice, admin):
        grow(alice, 3)
        kid = active_kid(alice)
        form = {"kid": kid, "reason": "a laptop was stolen", "last_valid_index": "1"}
        answer = admin.post(key(kid, "revoke"), form)
        assert answer["Location"] == f"/t/{acme.slug}/keys"
        assert range_of(alice, kid) == ("revoked", 0, 1)
        assert active_kid(alice) != kid
        (event,) = events_of(acme)
        assert (event.action, event.reason) == (
            "signing_key.revoked",
            "a laptop was stolen",
        )

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"last_valid_index": "3"}, "The log has no entry 3 yet; its last is 2."),
            ({"last_valid_index": "9" * 40}, "The log has no entry"),
            ({"last_valid_index": "-2"}, "greater than or equal to -1"),
            ({"last_valid_index": ""}, "This field is required"),
            ({"kid": "another key"}, "This is not the key chosen"),
            ({"reason": " "}, "This field is required"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_revoked(
        self, acme, alice, admin, changed, complaint
    ):
        grow(alice, 3)
        kid = active_kid(alice)
        form = {"kid": kid, "reason": "stolen", "last_valid_index": "1"} | changed
        answer = admin.post(key(kid, "revoke"), form)
        assert answer.status_code == 400
        assert complaint in text_of(answer)
        assert range_of(alice, kid) == ("active", 0, None)
        assert events_of(acme) == []

    def test_it_can_be_lowered_and_not_raised(self, alice, admin):
        grow(alice, 3)
        kid = active_kid(alice)
        form = {"kid": kid, "reason": "stolen"}
        for index, status in (("1", 302), ("0", 302), ("2", 400), ("0", 302)):
            data = form | {"last_valid_index": index}
            assert admin.post(key(kid, "revoke"), data).status_code == status
        assert range_of(alice, kid) == ("revoked", 0, 0)
        assert "Nothing was changed" in text_of(admin.get("/keys"))

    def test_a_key_of_test_data_is_changed_in_that_mode_alone(
        self, acme, alice, alice_test, admin
    ):
        grow(alice, 1)
        grow(alice_test, 1)
        kid = active_kid(alice_test)
        form = {"kid": kid, "reason": "stolen", "last_valid_index": "0"}
        assert admin.post(key(kid, "revoke"), form).status_code == 404
        assert admin.post(key(kid, "revoke", "test"), form).status_code == 302
        assert range_of(alice_test, kid) == ("revoked", 0, 0)
