"""The routes of the product, and the pages of others that those of runs link to."""

from django.http import HttpResponse

from lucid.urls import handler400, handler404, handler500
from lucid.urls import urlpatterns as product
from tenants.page_access import member, of_tenant

__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]


@member()
def elsewhere(request, **names):
    return HttpResponse()


urlpatterns = [
    *product,
    *of_tenant("receipts/<uuid:receipt_id>", elsewhere, "receipt"),
    *of_tenant(
        "orchestrations/<str:run_id>/evidence", elsewhere, "orchestration-evidence"
    ),
]
