"""What the access events' API answers, as the documentation shows it."""

EVENTS = {
    "success": True,
    "events": [
        {
            "id": "01a20420-4999-7657-a334-894683d401f8",
            "recorded_at": 1795600861,
            "action": "api_key.revoked",
            "actor_kind": "person",
            "actor_id": "7",
            "actor": "ada@example.com",
            "address": "203.0.113.9",
            "request_id": "req_0af7651916cd43dd8448eb211c80319c",
            "object_kind": "api_key",
            "object_id": "lk_live_0123456789",
            "before": {"state": "active"},
            "after": {"state": "revoked"},
            "reason": "Lost with a laptop.",
        }
    ],
    "next_cursor": "dTAxYTIwNDIwNDk5OTc2NTdhMzM0ODk0NjgzZDQwMWY4",
}
