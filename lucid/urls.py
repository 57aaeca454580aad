from django.contrib import admin
from django.urls import include, path

from receipts.urls import log, v1

urlpatterns = [
    path("v1/", include((v1, "receipts"))),
    path("log/", include((log, "log"))),
    path("admin/", admin.site.urls),
]

handler400 = "lucid.api.errors.bad_request"
handler404 = "lucid.api.errors.page_not_found"
handler500 = "lucid.api.errors.server_error"
