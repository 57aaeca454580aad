from django.urls import path

from receipts import api, log_api

app_name = "receipts"

# Static paths come before those with a name in them.
v1 = [
    path("receipts", api.ReceiptList.as_view(), name="receipt-list"),
    path("receipts/batch", api.ReceiptBatch.as_view(), name="receipt-batch"),
    path("receipts/<str:name>", api.ReceiptDetail.as_view(), name="receipt-detail"),
    path(
        "receipts/<str:name>/verify",
        api.ReceiptVerification.as_view(),
        name="receipt-verify",
    ),
    path("receipts/<str:name>/proof", api.ReceiptProof.as_view(), name="receipt-proof"),
    path(
        "verify/<str:receipt_hash>", api.HashVerification.as_view(), name="hash-verify"
    ),
    path("mmr/root", api.TreeHead.as_view(), name="tree-head"),
    path("signer/pubkey", api.SignerPublicKey.as_view(), name="signer-pubkey"),
    path("keys", api.KeySetView.as_view(), name="key-set"),
]

_log_paths = [
    ("checkpoint", log_api.LogCheckpoint, "log-checkpoint"),
    ("consistency", log_api.LogConsistency, "log-consistency"),
    ("<path:tile>", log_api.LogTile, "log-tile"),
]
log = [
    *(
        path(
            f"<slug:tenant>/test/{route}",
            view.as_view(),
            {"mode": "test"},
            f"{name}-test",
        )
        for route, view, name in _log_paths
    ),
    *(
        path(f"<slug:tenant>/{route}", view.as_view(), {"mode": "live"}, name)
        for route, view, name in _log_paths
    ),
]
