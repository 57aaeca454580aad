from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from lucid.api.openapi import docs_page, openapi_json
from orchestrations.urls import pages as orchestration_pages
from orchestrations.urls import v1 as orchestrations
from receipts.urls import log
from receipts.urls import pages as receipt_pages
from receipts.urls import v1 as receipts
from tenants.urls import pages
from tenants.urls import v1 as tenants

urlpatterns = [
    *receipts,
    *orchestrations,
    *tenants,
    *log,
    *receipt_pages,
    *orchestration_pages,
    *pages,
    path("v1/openapi.json", openapi_json, name="openapi"),
    path("v1/docs", docs_page, name="docs"),
    path("admin/", admin.site.urls),
    # Asked for by browsers that show what has no page to name it: JSON, the admin.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}icon.svg")),
]

handler400 = "lucid.api.errors.bad_request"
handler404 = "lucid.api.errors.page_not_found"
handler500 = "lucid.api.errors.server_error"
