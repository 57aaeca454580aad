from django.apps import AppConfig


class ReceiptsConfig(AppConfig):
    name = "receipts"

    def ready(self) -> None:
        from receipts import tenant_usage, ticks  # noqa: F401  they register what they do
