"""Every setting, read from the environment. README.md lists them for operators.

A secret `NAME` may be given as `NAME_FILE`, the path of a file that holds it.
"""

import base64
import binascii
from typing import Any

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

from lucid.first_use import BASE_DIR, data_dir, environment_file
from lucid.safe_settings import (
    check_hosts,
    check_keys,
    check_secret_key,
    proxy_networks,
)
from tenants.token_settings import TokenSettings

env = environ.FileAwareEnv()
if environment_file().exists():
    env.read_env(environment_file())


def _secret(name: str) -> str:
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Set it, or {name}_FILE, or start once with"
            " `make run`, which makes the secrets of a local installation."
        )
    return str(value)


def _named_keys(name: str) -> dict[str, bytes]:
    """Read `id:base64,...` into {id: 32 bytes}, in order; the first is in use."""
    keys = {}
    for item in _secret(name).split(","):
        identifier, _, encoded = item.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ImproperlyConfigured(f"{name}: {identifier} is no base64") from error
        if not identifier or len(key) != 32 or identifier in keys:
            raise ImproperlyConfigured(
                f"{name} must be id:base64 pairs of 32 bytes with distinct ids"
            )
        keys[identifier] = key
    return keys


SECRET_KEY = _secret("LUCID_SECRET_KEY")
LUCID_MASTER_KEYS = _named_keys("LUCID_MASTER_KEYS")
LUCID_API_KEY_PEPPERS = _named_keys("LUCID_API_KEY_PEPPERS")
check_secret_key("LUCID_SECRET_KEY", SECRET_KEY)
check_keys(
    {
        "LUCID_MASTER_KEYS": LUCID_MASTER_KEYS,
        "LUCID_API_KEY_PEPPERS": LUCID_API_KEY_PEPPERS,
    }
)

# Tokens (JWT) of an issuer that is trusted: none where nothing is set.
LUCID_JWT = TokenSettings(
    issuer=env.str("LUCID_JWT_ISSUER", default=""),
    audience=env.str("LUCID_JWT_AUDIENCE", default=""),
    algorithm=env.str("LUCID_JWT_ALGORITHM", default=""),
    keys=env.str("LUCID_JWT_KEYS", default=""),
    jwks_file=env.str("LUCID_JWT_JWKS_FILE", default=""),
    jwks_url=env.str("LUCID_JWT_JWKS_URL", default=""),
    jwks_seconds=env.int("LUCID_JWT_JWKS_SECONDS", default=300),
    secret=env.str("LUCID_JWT_SECRET", default="").strip(),
)
LUCID_JWT.check()

DEBUG = env.bool("LUCID_DEBUG", default=False)
ALLOWED_HOSTS = env.list(
    "LUCID_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]
)

check_hosts("LUCID_ALLOWED_HOSTS", ALLOWED_HOSTS, debug=DEBUG)

# Addresses of our own proxies, as 10.0.0.0/8, whose X-Forwarded-For is believed.
LUCID_TRUSTED_PROXIES = proxy_networks(
    "LUCID_TRUSTED_PROXIES", env.list("LUCID_TRUSTED_PROXIES", default=[])
)

# Whether people come by https, as they must outside of their own machine. That it was
# so is told by gunicorn, which asks trusted proxies alone (lucid/gunicorn.py):
# SECURE_PROXY_SSL_HEADER would believe anybody.
LUCID_TLS = env.bool("LUCID_TLS", default=True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LUCID_TLS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if LUCID_TLS:
    # Browsers take a cookie of such a name from this very host by https alone, and
    # from no neighbour under the same domain.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SILENCED_SYSTEM_CHECKS = [
    # Django looks for its own middleware against frames and forged requests by name,
    # and ours is a subclass of it (lucid/page_middleware.py).
    "security.W002",
    "security.W003",
    # Redirecting to https is the proxy's business: the API never redirects (WIRE
    # section 1), and a key that came by http has been seen already.
    "security.W008",
    # HSTS preloading puts a domain on a list in browsers: its owner's decision.
    "security.W021",
]

# The name that origins of logs begin with: a host that is yours, no scheme.
LUCID_ORIGIN = env.str("LUCID_ORIGIN", default="localhost")
LUCID_REQUIRE_TENANT_HEADER = env.bool("LUCID_REQUIRE_TENANT_HEADER", default=False)
# Also Django's limit for what it reads of a body: 413 beyond.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
# How long an answer to an Idempotency-Key is kept for a repeat of the request.
LUCID_IDEMPOTENCY_HOURS = env.int("LUCID_IDEMPOTENCY_HOURS", default=24)
# Seconds that a request may wait for its receipt to be durable before 503.
LUCID_APPEND_TIMEOUT = env.int("LUCID_APPEND_TIMEOUT", default=10)

# The gateway: calls that one worker has under way, 503 beyond; what a request and an
# answer may have, in bytes; how long a stream is read on when its client has left;
# output tokens held back from a budget for a request that names no limit; and where
# what became of calls waits while the database is away.
LUCID_GATEWAY_CALLS = env.int("LUCID_GATEWAY_CALLS", default=200)
LUCID_GATEWAY_MAX_REQUEST = env.int("LUCID_GATEWAY_MAX_REQUEST", default=32 << 20)
LUCID_GATEWAY_MAX_ANSWER = env.int("LUCID_GATEWAY_MAX_ANSWER", default=64 << 20)
LUCID_GATEWAY_DRAIN_SECONDS = env.int("LUCID_GATEWAY_DRAIN_SECONDS", default=60)
LUCID_ASSUMED_OUTPUT_TOKENS = env.int("LUCID_ASSUMED_OUTPUT_TOKENS", default=4096)
LUCID_SPOOL_DIR = env.str("LUCID_SPOOL_DIR", default="") or str(data_dir() / "spool")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "lucid.api",
    "tenants",
    "receipts",
    "orchestrations",
]

MIDDLEWARE = [
    "lucid.content_policy.ContentPolicyMiddleware",
    "lucid.api.request_id.RequestIdMiddleware",
    "lucid.page_middleware.room_middleware",
    "django.middleware.security.SecurityMiddleware",
    "lucid.page_middleware.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tenants.middleware.NobodyYet",
    "lucid.page_middleware.SessionMiddleware",
    "lucid.page_middleware.CsrfViewMiddleware",
    "lucid.page_middleware.AuthenticationMiddleware",
    "lucid.page_middleware.MessageMiddleware",
    "lucid.page_middleware.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "lucid.urls"
WSGI_APPLICATION = "lucid.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


# Whoever holds a row for longer, a forgotten psql say, holds up nobody. And what is
# served takes milliseconds, of which starting other processes and compiling take more
# than they save.
SESSION = "-c lock_timeout=3s -c jit=off -c max_parallel_workers_per_gather=0"


def _database() -> dict[str, Any]:
    url = env.str("DATABASE_URL", default="") or f"sqlite:///{data_dir()}/lucid.sqlite3"
    config: dict[str, Any] = env.db_url_config(url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options |= {
            # The write lock is taken at BEGIN, so that two writers queue up
            # instead of one failing half-way; a commit is on disk when it returns.
            "transaction_mode": "IMMEDIATE",
            "timeout": LUCID_APPEND_TIMEOUT,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        config["ENGINE"] = "tenants.postgresql"  # Django's, with row-level security
        pool_size = env.int("LUCID_DATABASE_POOL", default=8)
        options |= {
            # Short time-outs: a request that finds no connection is answered 503
            # while its client listens, and the pool is full again within a second
            # of the database's return (psycopg's default backs off for minutes).
            "pool": {
                "min_size": 1,
                "max_size": pool_size,
                "timeout": 3,
                "reconnect_timeout": 1,
            },
            "options": f"{options.get('options', '')} {SESSION}".strip(),
        }
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["tenants.logging_in.ThrottledBackend"]
LOGIN_URL = "log-in"
LOGIN_REDIRECT_URL = "home"
SESSION_COOKIE_AGE = 12 * 60 * 60
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# The row of a session holds a hash of its cookie, so that a stolen database logs
# nobody in. What is shown once, a new key say, waits for its page in a cookie alone:
# Django's default would put a long message into the session, which is a row.
SESSION_ENGINE = "tenants.sessions"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served from where they lie, so that no collectstatic step can be forgotten.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["lucid.api.rendering.JSONRenderer"],
    # Bodies are read by ApiView.json alone, which is strict.
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "lucid.api.rendering.AlwaysJSON",
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.scopes.HasScope"],
    "DEFAULT_SCHEMA_CLASS": "lucid.api.openapi.Operation",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "lucid.api.errors.answer_exception",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Lucid",
    "DESCRIPTION": "A notary for AI inference: signed receipts in a tamper-evident"
    " log. Every error has one body, shown at each endpoint.",
    "VERSION": "1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "POSTPROCESSING_HOOKS": ["lucid.api.openapi.add_error_shape"],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "lucid.safe_logging.SafeFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # A 4xx is the client's news, not the operator's.
        "django.request": {"level": "ERROR"},
    },
}
