"""Routes of this app. Pages of a tenant have two addresses: /t/<slug>/… names it."""

from django.urls import URLPattern, path
from django.views.generic import RedirectView

from tenants import api, api_key_pages, audit_api, event_pages, member_pages
from tenants import pages as own_pages
from tenants.page_access import of_tenant

v1: list[URLPattern] = [
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
    path("v1/audit/events", audit_api.EventList.as_view(), name="events"),
]


pages: list[URLPattern] = [
    path("login", own_pages.log_in, name="log-in"),
    path("logout", own_pages.log_out, name="log-out"),
    path("account", own_pages.account, name="account"),
    path("switch", own_pages.switch, name="switch"),
    # Where a changed password is an access event.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account")),
    *of_tenant("audit", event_pages.audit, "audit"),
    *of_tenant("keys/api", api_key_pages.api_keys, "api-keys"),
    *of_tenant("keys/api/<uuid:key_id>/rotate", api_key_pages.rotate, "api-key-renew"),
    *of_tenant("keys/api/<uuid:key_id>/revoke", api_key_pages.revoke, "api-key-end"),
    *of_tenant("members", member_pages.members, "members"),
    *of_tenant("members/<uuid:member_id>", member_pages.member_detail, "member"),
    *of_tenant("members/<uuid:member_id>/remove", member_pages.remove, "member-remove"),
]
