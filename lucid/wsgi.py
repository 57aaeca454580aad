import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from orchestrations import catalogue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")

application = get_wsgi_application()

from orchestrations.gateway import worker  # noqa: E402  it needs the settings
from tenants import database_role  # noqa: E402

database_role.refuse_to_serve()

# What the routes import takes a second, and so does the price catalogue: before the
# first request, not within it.
get_resolver().url_patterns  # noqa: B018
catalogue.warm()
worker.start()
