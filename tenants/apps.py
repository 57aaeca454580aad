from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        # They register tasks, and receivers of Django's signals.
        from tenants import logging_in, ticks  # noqa: F401
