from django.apps import AppConfig


class OrchestrationsConfig(AppConfig):
    name = "orchestrations"

    def ready(self) -> None:
        from orchestrations import (  # noqa: F401  they register
            adjusted_receipts,
            tenant_usage,
            ticks,
        )
