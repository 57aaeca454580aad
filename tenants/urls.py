from django.urls import path

from tenants import api

v1 = [
    path("v1/api-keys", api.ApiKeyList.as_view(), name="api-key-list"),
    path("v1/api-keys/<str:name>", api.ApiKeyDetail.as_view(), name="api-key-detail"),
    path(
        "v1/api-keys/<str:name>/rotate",
        api.ApiKeyRotation.as_view(),
        name="api-key-rotate",
    ),
    path(
        "v1/api-keys/<str:name>/revoke",
        api.ApiKeyRevocation.as_view(),
        name="api-key-revoke",
    ),
]
