from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "lucid.api"
    label = "api"
