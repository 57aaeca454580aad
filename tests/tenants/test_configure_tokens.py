"""What an operator says of tokens either fits together or stops the start."""

import json
import os
import subprocess
import sys

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ImproperlyConfigured

from tenants.token_settings import TokenSettings
from tests.tenants.issuer import SECRET, jwks, pem, public_jwk, settings_for

URL = "https://login.example.com/jwks.json"
PRIVATE = public_jwk("EdDSA") | {"d": "A" * 43}


@pytest.mark.parametrize(
    ("algorithm", "source"),
    [
        ("RS256", {"keys": pem("RS256")}),
        ("RS256", {"keys": jwks(public_jwk("RS256"))}),
        ("ES256", {"keys": jwks(public_jwk("ES256"), public_jwk("ES256", "two"))}),
        ("EdDSA", {"keys": jwks(public_jwk("EdDSA") | {"alg": "Ed25519"})}),
        ("EdDSA", {"jwks_url": URL}),
        ("RS256", {"jwks_url": "http://localhost:8080/jwks"}),
        ("RS256", {"jwks_url": "http://[::1]/jwks"}),
        ("HS256", {"secret": SECRET}),
    ],
)
def test_what_fits_is_taken(algorithm, source):
    settings_for(algorithm, **source)


def test_nothing_at_all_is_fine():
    TokenSettings().check()


@pytest.mark.parametrize(
    ("algorithm", "changes", "named"),
    [
        ("RS256", {"issuer": ""}, "LUCID_JWT_ISSUER"),
        ("RS256", {"audience": ""}, "LUCID_JWT_AUDIENCE"),
        ("", {"keys": pem("RS256")}, "LUCID_JWT_ALGORITHM"),
        ("RS256", {"keys": ""}, "one source"),
        ("RS256", {"keys": pem("RS256"), "jwks_url": URL}, "one source"),
        ("RS256", {"keys": pem("RS256"), "secret": SECRET}, "one source"),
        ("none", {"secret": SECRET}, "LUCID_JWT_ALGORITHM is one of"),
        ("HS512", {"secret": SECRET}, "LUCID_JWT_ALGORITHM is one of"),
        ("PS256", {"keys": pem("RS256")}, "LUCID_JWT_ALGORITHM is one of"),
        ("rs256", {"keys": pem("RS256")}, "LUCID_JWT_ALGORITHM is one of"),
        ("RS256,HS256", {"keys": pem("RS256")}, "LUCID_JWT_ALGORITHM is one of"),
        ("HS256", {"secret": "a" * 31}, "fewer than 32 bytes"),
        ("HS256", {"secret": pem("RS256")}, "is a public key, and no secret"),
        ("HS256", {"keys": pem("RS256")}, "does not go with"),
        ("HS256", {"jwks_url": URL}, "does not go with"),
        ("RS256", {"secret": SECRET}, "does not go with"),
        ("RS256", {"keys": pem("ES256")}, "PEM for RS256"),
        ("ES256", {"keys": pem("RS256")}, "PEM for ES256"),
        ("EdDSA", {"keys": pem("RS256") + pem("RS256", "two")}, "several keys"),
        ("RS256", {"keys": "nonsense"}, "neither a JWKS nor"),
        ("RS256", {"keys": "{"}, "is no JSON"),
        ("RS256", {"keys": "{}"}, 'no "keys"'),
        ("RS256", {"keys": jwks()}, 'no "keys"'),
        ("RS256", {"keys": jwks(public_jwk("ES256"))}, "another type than RS256"),
        ("RS256", {"keys": jwks({"kty": "oct", "k": "AA"})}, "another type"),
        ("RS256", {"keys": jwks(public_jwk("RS256") | {"use": "enc"})}, "signatures"),
        (
            "RS256",
            {"keys": jwks(public_jwk("RS256") | {"key_ops": ["encrypt"]})},
            "signatures",
        ),
        (
            "RS256",
            {"keys": jwks(public_jwk("RS256") | {"alg": "PS256"})},
            "another algorithm",
        ),
        ("EdDSA", {"keys": jwks(PRIVATE)}, "private key"),
        (
            "EdDSA",
            {"keys": jwks(public_jwk("EdDSA"), public_jwk("EdDSA"))},
            "a kid each",
        ),
        ("RS256", {"jwks_file": "/nonexistent"}, "LUCID_JWT_JWKS_FILE cannot be read"),
        ("RS256", {"jwks_url": "http://login.example.com/"}, "begins with https"),
        ("RS256", {"jwks_url": "http://127.0.0.1.example.com/"}, "begins with https"),
        ("RS256", {"jwks_url": "file:///etc/passwd"}, "LUCID_JWT_JWKS_URL"),
        ("RS256", {"jwks_url": "https://user:pw@example.com/"}, "neither user nor"),
        ("RS256", {"jwks_url": "https://"}, "LUCID_JWT_JWKS_URL"),
        ("RS256", {"jwks_url": "https://[::1"}, "is no URL"),
        ("RS256", {"jwks_url": URL, "jwks_seconds": 9}, "LUCID_JWT_JWKS_SECONDS"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(algorithm, changes, named):
    with pytest.raises(ImproperlyConfigured) as error:
        settings_for(algorithm, **changes)
    assert named in str(error.value)
    for secret in changes.keys() & {"secret", "keys"}:
        assert not changes[secret] or changes[secret] not in str(error.value)


def test_a_small_rsa_key_is_refused():
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    kind = jwt.get_algorithm_by_name("RS256")
    jwk = dict(kind.to_jwk(small.public_key(), as_dict=True))
    with pytest.raises(ImproperlyConfigured, match="fewer than 2048 bits"):
        settings_for("RS256", keys=jwks({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}))


def test_a_secret_is_not_in_its_repr():
    assert SECRET not in repr(settings_for("HS256"))


def start(tmp_path, **environment):
    """Import the settings in a process of their own."""
    code = "from django.conf import settings; print(settings.LUCID_JWT.algorithm)"
    ours = {"DJANGO_SETTINGS_MODULE": "lucid.settings", "LUCID_DATA_DIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | ours | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_settings_come_from_the_environment_and_from_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    started = start(
        tmp_path,
        LUCID_JWT_ISSUER="https://login.example.com/",
        LUCID_JWT_AUDIENCE="lucid",
        LUCID_JWT_ALGORITHM="HS256",
        LUCID_JWT_SECRET_FILE=str(secret),
    )
    assert (started.returncode, started.stdout) == (0, "HS256\n"), started.stderr


def test_a_file_of_keys_is_read_at_the_start(tmp_path):
    path = tmp_path / "jwks.json"
    given = {
        "LUCID_JWT_ISSUER": "https://login.example.com/",
        "LUCID_JWT_AUDIENCE": "lucid",
        "LUCID_JWT_ALGORITHM": "ES256",
        "LUCID_JWT_JWKS_FILE": str(path),
    }
    path.write_text(jwks(public_jwk("ES256")))
    assert start(tmp_path, **given).returncode == 0
    path.write_text(json.dumps({"keys": [public_jwk("RS256")]}))
    started = start(tmp_path, **given)
    assert started.returncode == 1
    assert "ImproperlyConfigured: LUCID_JWT_JWKS_FILE holds" in started.stderr


def test_without_tokens_nothing_of_theirs_is_imported(tmp_path):
    code = (
        "import django, sys; django.setup(); import tenants.authentication;"
        "sys.exit('jwt' in sys.modules or 'cryptography' in sys.modules)"
    )
    ours = {"DJANGO_SETTINGS_MODULE": "lucid.settings", "LUCID_DATA_DIR": str(tmp_path)}
    started = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | ours, check=False
    )
    assert started.returncode == 0
