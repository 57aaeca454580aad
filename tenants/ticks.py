"""What `manage.py tick` does for those who log in."""

from django.contrib.sessions.models import Session
from django.utils import timezone

from lucid.api.ticks import at_every_tick
from tenants.models import LoginCount


@at_every_tick
def forget_login_failures() -> str | None:
    forgotten = LoginCount.objects.forget(timezone.now())
    return f"{forgotten} counts of failed log-ins forgotten" if forgotten else None


@at_every_tick
def forget_sessions() -> str | None:
    ended = Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]
    return f"{ended} ended sessions forgotten" if ended else None
