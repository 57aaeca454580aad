from datetime import datetime

from django.db import models
from django.db.models import Q

from lucid.api.idempotency import Claim
from lucid.owned import TenantManager, TenantOwned


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


class IdempotentAnswer(TenantOwned):
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

    objects = TenantManager.from_queryset(IdempotentAnswerQuerySet)()  # type: ignore[misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "mode", "endpoint", "key"],
                name="api_idempotent_answer_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"


class TickRunQuerySet(models.QuerySet["TickRun"]):
    def keep(self, run: "TickRun") -> None:
        """Write a run down; one that had nothing to do in place of the last such."""
        if not run.is_idle:
            run.save(force_insert=True)
            return
        times = {"started_at": run.started_at, "duration": run.duration}
        self.update_or_create(task=run.task, ok=True, said="", defaults=times)

    def forget(self, before: datetime) -> int:
        """Delete what ran before then; return how many."""
        return self.filter(started_at__lt=before).delete()[0]


class TickRun(models.Model):
    """A run of one of tick's tasks: each that did something or failed, for a week.

    Of those that had nothing to do, one every ten seconds, the last alone is kept: it
    says that tick is alive.
    """

    task = models.CharField(max_length=100)
    started_at = models.DateTimeField(db_index=True)
    duration = models.DurationField()
    ok = models.BooleanField()
    said = models.TextField(blank=True)  # what it did, or why it failed

    objects = TickRunQuerySet.as_manager()

    class Meta:
        verbose_name = "run of tick"
        verbose_name_plural = "runs of tick"
        constraints = [
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(ok=True, said=""),
                name="api_tick_run_one_idle",
            )
        ]

    def __str__(self) -> str:
        return f"{self.task}: {self.said or 'nothing to do'}"

    @property
    def is_idle(self) -> bool:
        return self.ok and not self.said
