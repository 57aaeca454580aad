from datetime import datetime

from django.db import models

from lucid.api.idempotency import Claim


class IdempotentAnswerQuerySet(models.QuerySet["IdempotentAnswer"]):
    def forget(self, before: datetime) -> int:
        """Delete what was answered before then; return how many."""
        return self.filter(created_at__lt=before).delete()[0]

    def of(self, claim: Claim) -> "IdempotentAnswer | None":
        return self.filter(
            tenant_id=claim.tenant_id,
            mode=claim.mode,
            endpoint=claim.endpoint,
            key=claim.key,
        ).first()


class IdempotentAnswer(models.Model):
    """The first answer to an Idempotency-Key, kept as the bytes that were sent.

    Written in the transaction that did the work, so that there is never work
    without its answer nor an answer without its work.
    """

    tenant_id = models.UUIDField()
    mode = models.CharField(max_length=4)
    endpoint = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField()
    status = models.PositiveSmallIntegerField()
    body = models.BinaryField()
    created_at = models.DateTimeField(db_index=True)

    objects = IdempotentAnswerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "mode", "endpoint", "key"],
                name="api_idempotent_answer_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"
