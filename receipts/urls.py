from django.urls import URLPattern, path

from receipts import api, key_pages, log_api
from tenants.page_access import of_tenant

# Flat, the busiest first: resolving a nested route is a tenth of a short request.
# Static paths come before those with a name in them.
v1 = [
    path("v1/receipts", api.ReceiptList.as_view(), name="receipt-list"),
    path("v1/receipts/batch", api.ReceiptBatch.as_view(), name="receipt-batch"),
    path("v1/receipts/<str:name>", api.ReceiptDetail.as_view(), name="receipt-detail"),
    path(
        "v1/receipts/<str:name>/verify",
        api.ReceiptVerification.as_view(),
        name="receipt-verify",
    ),
    path(
        "v1/receipts/<str:name>/proof", api.ReceiptProof.as_view(), name="receipt-proof"
    ),
    path(
        "v1/verify/<str:receipt_hash>",
        api.HashVerification.as_view(),
        name="hash-verify",
    ),
    path("v1/mmr/root", api.TreeHead.as_view(), name="tree-head"),
    path("v1/signer/pubkey", api.SignerPublicKey.as_view(), name="signer-pubkey"),
    path("v1/keys", api.KeySetView.as_view(), name="key-set"),
]

_log_paths = [
    ("checkpoint", log_api.LogCheckpoint, "log-checkpoint"),
    ("consistency", log_api.LogConsistency, "log-consistency"),
    ("<path:tile>", log_api.LogTile, "log-tile"),
]
log = [
    *(
        path(
            f"log/<slug:tenant>/test/{route}",
            view.as_view(),
            {"mode": "test"},
            f"{name}-test",
        )
        for route, view, name in _log_paths
    ),
    *(
        path(f"log/<slug:tenant>/{route}", view.as_view(), {"mode": "live"}, name)
        for route, view, name in _log_paths
    ),
]

_KEY = "keys/<slug:kid>"
pages: list[URLPattern] = [
    *of_tenant("keys", key_pages.signing_keys, "keys"),
    *of_tenant("keys/jwks.json", key_pages.key_file, "key-file"),
    *of_tenant(f"{_KEY}/rotate", key_pages.rotate, "signing-key-rotate"),
    *of_tenant(f"{_KEY}/revoke", key_pages.revoke, "signing-key-revoke"),
]
