from django.apps import AppConfig


class OrchestrationsConfig(AppConfig):
    name = "orchestrations"

    def ready(self) -> None:
        from orchestrations import tenant_usage, ticks  # noqa: F401  they register
