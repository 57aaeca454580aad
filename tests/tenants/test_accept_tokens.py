"""A token of the configured issuer stands for a tenant; no other token does."""

import base64
import hmac
import json
import time
from datetime import timedelta
from hashlib import sha256
from typing import Any

import hypothesis
import jwt
import pytest
from django.utils import timezone
from hypothesis import strategies as st

from orchestrations.models import NOBODY
from tenants import authentication
from tenants.authentication import NO_KEY
from tenants.models import AccessEvent, Tenant
from tenants.querysets import LAST_USE_RESOLUTION
from tenants.token_settings import TokenSettings
from tests.caller import RUN, Caller
from tests.receipts.auditor import log_size
from tests.tenants.issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    claims,
    jwks,
    pem,
    private_key,
    public_jwk,
    settings_for,
    token,
)

METHODS = ["GET", "POST"]
ALGORITHMS = ["RS256", "ES256", "EdDSA", "HS256"]


@pytest.fixture(autouse=True)
def configured(settings):
    settings.LUCID_JWT = settings_for()


def call(caller, text, method="POST", **headers):
    body = json.dumps(RUN).encode()
    bearer = f"Bearer {text}"
    return caller.request(
        method, "/v1/receipts", body, **{"Authorization": bearer} | headers
    )


def invalid(answer, *words):
    told = answer.json()
    assert (answer.status_code, told["error_code"]) == (401, "TOKEN_INVALID")
    for word in words:
        assert word in told["message"]


def unsigned(header: Any, payload: Any, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(it).decode().rstrip("=") for it in parts)


class TestAGoodToken:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_is_taken(self, alice, settings, algorithm, method):
        settings.LUCID_JWT = settings_for(algorithm)
        text = token(claims(alice.tenant.pk), algorithm)
        for _ in range(2):
            assert call(alice, text, method).status_code == 200

    @pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
    def test_is_checked_with_the_key_that_it_names(self, alice, settings, algorithm):
        keys = jwks(public_jwk(algorithm, "one"), public_jwk(algorithm, "two"))
        settings.LUCID_JWT = settings_for(algorithm, keys=keys)
        for name in ("one", "two"):
            text = token(claims(alice.tenant.pk), algorithm, name)
            assert call(alice, text).status_code == 200

    @pytest.mark.parametrize("keys", [pem("RS256"), jwks(public_jwk("RS256"))])
    def test_needs_no_kid_where_there_is_one_key(self, alice, settings, keys):
        settings.LUCID_JWT = settings_for(keys=keys)
        assert call(alice, token(claims(alice.tenant.pk), kid=None)).status_code == 200

    @pytest.mark.parametrize("name", ["pk", "slug"])
    def test_names_its_tenant(self, alice, name):
        text = token(claims(getattr(alice.tenant, name)))
        assert call(alice, text).status_code == 200
        assert log_size(alice) == 1

    @pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
    def test_may_have_a_list_of_audiences(self, alice, audience):
        text = token(claims(alice.tenant.pk, aud=audience))
        assert call(alice, text).status_code == 200

    def test_may_have_expired_a_moment_ago(self, alice):
        text = token(claims(alice.tenant.pk, exp=int(time.time()) - 5))
        assert call(alice, text).status_code == 200

    def test_may_become_valid_in_a_moment(self, alice):
        text = token(claims(alice.tenant.pk, nbf=int(time.time()) + 5))
        assert call(alice, text).status_code == 200

    def test_may_live_for_ever(self, alice):
        for exp in (10**11, 10**18, 1e15):
            text = token(claims(alice.tenant.pk, exp=exp))
            assert call(alice, text).status_code == 200

    def test_takes_x_tenant_id_as_keys_do(self, alice, charlie):
        text = token(claims(alice.tenant.pk))
        for named, status in ((alice, 200), (charlie, 403)):
            tenant = str(named.tenant.pk)
            assert call(alice, text, X_Tenant_ID=tenant).status_code == status

    def test_costs_one_query_when_it_is_not_remembered(
        self, alice, django_assert_num_queries
    ):
        with django_assert_num_queries(1):
            principal = authentication.look_up_token(token(claims(alice.tenant.slug)))
        assert principal.tenant_id == alice.tenant.pk

    def test_goes_with_no_api_key(self, alice):
        answer = call(alice, token(claims(alice.tenant.pk)), X_API_Key=alice.text)
        assert answer.status_code == 400
        assert answer.json()["error_code"] == "INVALID_REQUEST"


class TestMode:
    def test_live_unless_it_says_test(self, alice):
        for mode, size in ((None, 1), ("live", 2), ("test", 2)):
            call(alice, token(claims(alice.tenant.pk, mode=mode)))
            assert log_size(alice) == size

    @pytest.mark.parametrize("mode", ["prod", "", 1, ["test"], {}])
    def test_another_is_refused(self, alice, mode):
        invalid(call(alice, token(claims(alice.tenant.pk, mode=mode))), "malformed")


class TestScopes:
    @pytest.mark.parametrize(
        "scope",
        ["receipts:read", "openid receipts:read  email", "receipts:*", "x *"],
    )
    def test_those_that_it_names_and_we_know(self, alice, scope):
        text = token(claims(alice.tenant.pk, scope=scope))
        assert call(alice, text, "GET").status_code == 200

    @pytest.mark.parametrize(
        "scope", [None, "", "openid", "receipts:write", "RECEIPTS:READ", "receipts"]
    )
    def test_lacking_the_one_needed_is_403(self, alice, scope):
        answer = call(alice, token(claims(alice.tenant.pk, scope=scope)), "GET")
        assert answer.status_code == 403
        assert answer.json()["message"] == "This token lacks the scope receipts:read."

    @pytest.mark.parametrize("scope", [["receipts:read"], 1, {}, True])
    def test_that_are_no_text_are_refused(self, alice, scope):
        invalid(call(alice, token(claims(alice.tenant.pk, scope=scope))), "malformed")


@pytest.mark.parametrize("method", METHODS)
class TestABadToken:
    def test_expired(self, alice, method):
        text = token(claims(alice.tenant.pk, exp=int(time.time()) - 60))
        invalid(call(alice, text, method), "expired")

    def test_not_valid_yet(self, alice, method):
        text = token(claims(alice.tenant.pk, nbf=int(time.time()) + 300))
        invalid(call(alice, text, method), "not valid yet")

    @pytest.mark.parametrize("issuer", ["https://evil.example.com/", ISSUER[:-1], ""])
    def test_of_another_issuer(self, alice, method, issuer):
        text = token(claims(alice.tenant.pk, iss=issuer))
        invalid(call(alice, text, method), "another issuer")

    @pytest.mark.parametrize("audience", ["other", ["other"], "Lucid", ["a", "b"], [1]])
    def test_for_another_audience(self, alice, method, audience):
        text = token(claims(alice.tenant.pk, aud=audience))
        invalid(call(alice, text, method), "another audience")

    @pytest.mark.parametrize("claim", ["iss", "aud", "exp"])
    def test_without_a_claim_that_it_needs(self, alice, method, claim):
        text = token(claims(alice.tenant.pk, **{claim: None}))
        invalid(call(alice, text, method), claim)

    @pytest.mark.parametrize(
        "tenant", ["nobody", "", "*", "a" * 64, "a\0b", "é", 1, None, [], {}, True]
    )
    def test_of_no_tenant_is_told_the_same(self, alice, method, tenant):
        text = token(claims(alice.tenant.pk) | {"tenant": tenant})
        answer = call(alice, text, method)
        invalid(answer)
        told = answer.json()["message"]
        assert told == "The token's tenant claim names no tenant here."

    def test_of_a_suspended_tenant(self, alice, acme, method):
        text = token(claims(acme.pk))
        acme.set_status(Tenant.Status.SUSPENDED)
        answer = call(alice, text, method)
        assert answer.status_code == 403
        assert answer.json()["error_code"] == "TENANT_SUSPENDED"

    @pytest.mark.parametrize("subject", ["a\0b", "a" * 201, "a\nb", 7, ["a"]])
    def test_whose_subject_is_no_name(self, alice, method, subject):
        invalid(call(alice, token(claims(alice.tenant.pk, sub=subject)), method))

    @pytest.mark.parametrize("exp", ["soon", True, [], {}, "9999999999", -1, 1e400])
    def test_whose_expiry_is_no_time(self, alice, method, exp):
        header = {"alg": "RS256", "kid": "one"}
        payload = claims(alice.tenant.pk, exp=exp)
        signed = unsigned(header, payload).rpartition(".")[0]
        signer = jwt.get_algorithm_by_name("RS256")
        signature = signer.sign(signed.encode(), private_key("RS256"))
        invalid(call(alice, unsigned(header, payload, signature), method))

    def test_that_is_huge(self, alice, method):
        text = token(claims(alice.tenant.pk, padding="a" * 8192))
        invalid(call(alice, text, method), "8192")

    def test_where_none_are_taken(self, alice, method, settings):
        settings.LUCID_JWT = TokenSettings()
        text = token(claims(alice.tenant.pk))
        invalid(call(alice, text, method), "not valid here")

    def test_is_not_repeated_in_the_error(self, alice, method):
        text = token(claims(alice.tenant.pk, exp=1))
        answer = call(alice, text, method).content.decode()
        assert not any(part in answer for part in text.split("."))


@pytest.mark.parametrize("method", METHODS)
class TestAForgedToken:
    """Algorithm confusion, and keys of the forger's own."""

    @pytest.mark.parametrize("alg", ["none", "NONE", "", None, "nOnE"])
    @pytest.mark.parametrize("configured", ALGORITHMS)
    def test_unsigned(self, alice, method, settings, configured, alg):
        settings.LUCID_JWT = settings_for(configured)
        header = {"typ": "JWT", "alg": alg, "kid": "one"}
        invalid(call(alice, unsigned(header, claims(alice.tenant.pk)), method))

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_with_no_signature(self, alice, method, settings, alg):
        settings.LUCID_JWT = settings_for(alg)
        text = token(claims(alice.tenant.pk), alg).rpartition(".")[0] + "."
        invalid(call(alice, text, method))

    @pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
    @pytest.mark.parametrize("header", ["HS256", None])
    def test_with_a_public_key_for_a_secret(
        self, alice, method, settings, algorithm, header
    ):
        settings.LUCID_JWT = settings_for(algorithm)
        parts = {"alg": header or algorithm, "kid": "one"}
        signed = unsigned(parts, claims(alice.tenant.pk)).rpartition(".")[0]
        for secret in (pem(algorithm), pem(algorithm).strip()):
            mac = hmac.digest(secret.encode(), signed.encode(), "sha256")
            text = unsigned(parts, claims(alice.tenant.pk), mac)
            invalid(call(alice, text, method))

    @pytest.mark.parametrize("signed_with", ALGORITHMS)
    @pytest.mark.parametrize("configured", ALGORITHMS)
    def test_with_another_algorithm_than_the_configured(
        self, alice, method, settings, configured, signed_with
    ):
        settings.LUCID_JWT = settings_for(configured)
        text = token(claims(alice.tenant.pk), signed_with)
        expected = 200 if signed_with == configured else 401
        assert call(alice, text, method).status_code == expected

    @pytest.mark.parametrize("signed_with", ALGORITHMS)
    @pytest.mark.parametrize("configured", ALGORITHMS)
    def test_with_the_configured_algorithm_in_its_header_alone(
        self, alice, method, settings, configured, signed_with
    ):
        if signed_with == configured:
            return
        settings.LUCID_JWT = settings_for(configured)
        honest = token(claims(alice.tenant.pk), signed_with)
        signature = honest.rpartition(".")[2]
        header = unsigned({"alg": configured, "kid": "one"}, {}).partition(".")[0]
        text = ".".join([header, honest.split(".")[1], signature])
        invalid(call(alice, text, method))

    @pytest.mark.parametrize("kid", ["one", "two", "three", None])
    def test_with_a_key_of_the_forgers_own(self, alice, method, settings, kid):
        keys = jwks(public_jwk("RS256", "one"), public_jwk("RS256", "two"))
        settings.LUCID_JWT = settings_for(keys=keys)
        forger = private_key("RS256", "forger")
        invalid(
            call(alice, token(claims(alice.tenant.pk), key=forger, kid=kid), method)
        )

    def test_with_the_kid_of_another_key(self, alice, method, settings):
        keys = jwks(public_jwk("RS256", "one"), public_jwk("RS256", "two"))
        settings.LUCID_JWT = settings_for(keys=keys)
        text = token(claims(alice.tenant.pk), name="one", kid="two")
        invalid(call(alice, text, method), "signature")

    @pytest.mark.parametrize("kid", [None, "", "three", "../../one", "one\0", "' OR 1"])
    def test_with_the_kid_of_no_key(self, alice, method, settings, kid):
        keys = jwks(public_jwk("RS256", "one"), public_jwk("RS256", "two"))
        settings.LUCID_JWT = settings_for(keys=keys)
        text = token(claims(alice.tenant.pk), kid=kid)
        invalid(call(alice, text, method), "unknown here")

    def test_with_a_key_in_its_header(self, alice, method):
        forger = private_key("RS256", "forger")
        jwk = public_jwk("RS256", "forger")
        places = {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}
        for header in ({"jwk": jwk}, {"x5c": ["MIIB"]}, places):
            text = token(claims(alice.tenant.pk), key=forger, **header)
            invalid(call(alice, text, method), "signature")

    def test_with_a_key_in_its_header_that_does_not_count(self, alice, method):
        jwk = public_jwk("RS256", "forger")
        text = token(claims(alice.tenant.pk), jwk=jwk, jku="http://127.0.0.1:9/")
        assert call(alice, text, method).status_code == 200

    def test_with_claims_changed(self, alice, charlie, method):
        honest = token(claims(charlie.tenant.pk)).split(".")
        other = unsigned({}, claims(alice.tenant.pk)).split(".")
        text = ".".join([honest[0], other[1], honest[2]])
        invalid(call(alice, text, method), "signature")
        assert log_size(alice) == 0

    def test_with_what_it_calls_critical(self, alice, method):
        text = token(claims(alice.tenant.pk), crit=["exp2"], exp2=1)
        invalid(call(alice, text, method), "malformed")


class TestGarbage:
    @hypothesis.given(
        st.one_of(
            st.binary(max_size=300).map(lambda it: it.decode("latin-1")),
            st.text(alphabet="ey.JA-_=0", max_size=300),
            st.tuples(*[st.binary(max_size=60)] * 3).map(
                lambda parts: ".".join(
                    base64.urlsafe_b64encode(it).decode().rstrip("=") for it in parts
                )
            ),
        )
    )
    @hypothesis.settings(
        max_examples=200,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
    def test_is_a_4xx(self, alice, text):
        text = "".join(it for it in text if it.isprintable() and it not in "\r\n")
        answer = call(alice, text, "GET")
        assert 400 <= answer.status_code < 500

    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )

    @hypothesis.given(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "tenant", "scope", "mode"]),
        JSON,
    )
    @hypothesis.settings(
        max_examples=200,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
    def test_in_a_claim_is_no_fault_of_ours(self, alice, settings, name, value):
        settings.LUCID_JWT = settings_for("HS256")
        payload = claims(alice.tenant.pk) | {name: value}
        text = jwt.api_jws.encode(json.dumps(payload).encode(), SECRET, "HS256")
        assert call(alice, text, "GET").status_code in {200, 401, 403}

    @hypothesis.given(JSON)
    @hypothesis.settings(
        max_examples=200,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
    def test_for_a_subject_is_no_fault_of_ours(self, alice, settings, value):
        """The subject is stored, which a claim that is only compared is not."""
        settings.LUCID_JWT = settings_for("HS256")
        payload = claims(alice.tenant.pk, scope="*") | {"sub": value}
        text = jwt.api_jws.encode(json.dumps(payload).encode(), SECRET, "HS256")
        body = json.dumps({"name": "ci", "scopes": ["audit:read"]}).encode()
        bearer = f"Bearer {text}"
        answer = alice.request("POST", "/v1/api-keys", body, Authorization=bearer)
        assert answer.status_code in {201, 401}

    @pytest.mark.parametrize(
        "text",
        [
            "a.b.c",
            "eyJhbGciOiJub25lIn0.e30.",
            "..",
            ".",
            "a" * 8193,
            "e30.e30.e30",
            unsigned([], {}),
            unsigned({"alg": "RS256", "kid": 7}, {}),
            unsigned({"alg": ["RS256"]}, {}),
            unsigned({"alg": "RS256", "b64": False, "crit": ["b64"]}, {}),
            "eyJhbGciOiJSUzI1NiJ9." + "W" * 4000 + ".AA",
            base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.AA",
        ],
    )
    def test_known_kinds(self, alice, text):
        invalid(call(alice, text))


class TestATokenThatThisWorkerRemembers:
    @pytest.fixture
    def remembered(self, alice):
        text = token(claims(alice.tenant.pk))
        assert call(alice, text).status_code == 200
        return text

    def test_is_not_checked_again(self, remembered, alice, monkeypatch):
        monkeypatch.setattr(authentication, "look_up_token", None)
        assert call(alice, remembered).status_code == 200

    def test_is_checked_again_after_a_minute(self, remembered, alice, monkeypatch):
        later = time.monotonic() + LAST_USE_RESOLUTION.total_seconds() + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert call(alice, remembered).status_code == 200
        monkeypatch.setattr(authentication, "look_up_token", None)
        assert call(alice, remembered).status_code == 200

    def test_ends_when_it_expires(self, remembered, alice, monkeypatch):
        found, _ = authentication._memory[sha256(remembered.encode()).digest()]
        assert found.expires_at is not None
        checked = []
        real = authentication.look_up_token

        def look_up_token(text):
            checked.append(text)
            return real(text)

        monkeypatch.setattr(authentication, "look_up_token", look_up_token)
        almost = found.expires_at - timedelta(microseconds=1)
        monkeypatch.setattr(timezone, "now", lambda: almost)
        assert call(alice, remembered).status_code == 200
        assert checked == []
        monkeypatch.setattr(timezone, "now", lambda: found.expires_at)
        call(alice, remembered)
        assert checked == [remembered]

    def test_of_a_tenant_then_suspended_writes_nothing(self, remembered, alice, acme):
        acme.set_status(Tenant.Status.SUSPENDED)
        answer = call(alice, remembered)
        assert answer.json()["error_code"] == "TENANT_SUSPENDED"
        acme.set_status(Tenant.Status.ACTIVE)
        assert log_size(alice) == 1

    def test_goes_on_when_keys_of_the_tenant_change(self, remembered, alice, acme):
        acme.forget_keys()
        assert call(alice, remembered).status_code == 200
        assert log_size(alice) == 2


class TestWhatATokenDoes:
    def test_it_makes_keys_within_its_scopes(self, alice):
        text = token(claims(alice.tenant.pk, scope="keys:write receipts:read"))
        holder = Caller(alice.tenant, alice.key, text)
        asked = {"name": "ci", "scopes": ["receipts:read"]}
        made = holder.post("/v1/api-keys", asked)
        assert made.status_code == 201
        asked["scopes"] = ["receipts:write"]
        assert holder.post("/v1/api-keys", asked).status_code == 403

    def test_its_subject_is_in_access_events(self, alice):
        text = token(claims(alice.tenant.pk, scope="keys:write receipts:read"))
        asked = {"name": "ci", "scopes": ["receipts:read"]}
        Caller(alice.tenant, alice.key, text).post("/v1/api-keys", asked)
        event = AccessEvent.objects.get(tenant=alice.tenant)
        assert (event.actor_kind, event.actor_id) == ("token", "agent-7")

    def test_its_calls_are_those_of_no_key(self, alice):
        assert NO_KEY == NOBODY
        text = token(claims(alice.tenant.pk, scope="*"))
        holder = Caller(alice.tenant, alice.key, text)
        run = holder.post("/v1/orchestrations", {"agent_id": "a"}).json()["id"]
        call = {"model": "m", "provider": "openai", "prompt_tokens": 3}
        call |= {"completion_tokens": 5, "cost_cents": 2, "latency_ms": 1}
        made = holder.post(f"/v1/orchestrations/{run}/inferences", call)
        assert made.status_code == 201, made.content
        groups = holder.get("/v1/costs?group_by=api_key").json()["groups"]
        assert [group["key"] for group in groups] == [None]
