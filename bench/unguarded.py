"""Lucid without its guards: what the bench compares the guards' cost with.

The very views of Lucid, served as `bench.unguarded:application` under the tables'
owner, by Django's own PostgreSQL backend: no key is looked up, no scope checked, no
request counted, and the database is told of no tenant. Which tenant answers is in
BENCH_TENANT, as the slug of one.
"""

import os

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")
settings.DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
settings.REST_FRAMEWORK |= {
    "DEFAULT_AUTHENTICATION_CLASSES": ["bench.nobody.Nobody"],
    "DEFAULT_PERMISSION_CLASSES": [],
}
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402  it needs the settings

application = WSGIHandler()
