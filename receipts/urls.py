from django.urls import URLPattern, path

from receipts import (
    api,
    browse_pages,
    evidence_api,
    evidence_pages,
    key_pages,
    log_api,
    show_pages,
    verifier_pages,
)
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
        "v1/receipts/<str:name>/evidence",
        evidence_api.ReceiptEvidence.as_view(),
        name="receipt-evidence-file",
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

_RECEIPT = "receipts/<uuid:receipt_id>"
_KEY = "keys/<slug:kid>"
pages: list[URLPattern] = [
    path("verify", verifier_pages.verify_files, name="verify"),
    *of_tenant(
        "receipts/consistency", verifier_pages.consistency, "log-consistency-page"
    ),
    *of_tenant("receipts", browse_pages.receipts, "receipts"),
    *of_tenant(_RECEIPT, show_pages.receipt, "receipt"),
    *of_tenant(f"{_RECEIPT}/receipt.json", show_pages.receipt_json, "receipt-json"),
    *of_tenant(f"{_RECEIPT}/proof.json", show_pages.proof_json, "receipt-proof-json"),
    *of_tenant(
        f"{_RECEIPT}/receipt.tlog-proof", show_pages.tlog_proof, "receipt-tlog-proof"
    ),
    *of_tenant(
        f"{_RECEIPT}/evidence", evidence_pages.receipt_evidence, "receipt-evidence"
    ),
    *of_tenant("keys", key_pages.signing_keys, "keys"),
    *of_tenant("keys/jwks.json", key_pages.key_file, "key-file"),
    *of_tenant(f"{_KEY}/rotate", key_pages.rotate, "signing-key-rotate"),
    *of_tenant(f"{_KEY}/revoke", key_pages.revoke, "signing-key-revoke"),
]
