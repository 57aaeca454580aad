from django.apps import AppConfig


class OrchestrationsConfig(AppConfig):
    name = "orchestrations"

    def ready(self) -> None:
        from orchestrations import ticks  # noqa: F401  registers its tasks
