from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html

from lucid.api.admin_pages import ReadOnlyAdmin
from lucid.api.large_tables import LargeTableAdmin
from tenants import events, members
from tenants.audited_admin import AuditedAdmin
from tenants.forms import OperatorLogInForm
from tenants.models import AccessEvent, ApiKey, Membership, Tenant, User
from tenants.reasons import Question, act_with_reason
from tenants.scopes import KNOWN
from tenants.usage import usage_of

admin.site.site_header = "Lucid"
admin.site.site_title = "Lucid"
admin.site.index_title = "Operators"
admin.site.login_form = OperatorLogInForm
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin):
    ordering = ["email"]
    list_display = ["email", "is_staff", "is_superuser", "is_active", "last_login"]
    search_fields = ["email"]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", "password1", "password2"]})]
    readonly_fields = ["last_login", "date_joined"]

    def object_id(self, obj: User) -> str:
        return obj.email


class TenantList(ChangeList):
    """The page's tenants with what they use, read for all of them at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        usage = usage_of([tenant.pk for tenant in self.result_list])
        for tenant in self.result_list:
            tenant.usage = usage[tenant.pk]


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin):
    list_display = ["slug", "name", "status", "used", "created_at"]
    list_filter = ["status"]
    ordering = ["slug"]
    search_fields = ["slug", "name"]
    fields = [
        "slug",
        "name",
        "status",
        "requests_per_minute",
        "settings",
        "used",
        "id",
        "created_at",
    ]
    actions = ["suspend", "resume"]

    def object_id(self, obj: Tenant) -> str:
        return obj.slug

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return TenantList

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            self.fields if obj else ["slug", "name", "requests_per_minute", "settings"]
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # The slug is in the origin of the tenant's logs, for good. The status
        # changes by the actions below, which tell every worker.
        fixed = ["id", "created_at", "status", "used"]
        return [*fixed, "slug"] if obj else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: Tenant, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        obj.forget_keys()  # workers remember its limit with them

    @admin.display(description="Live data")
    def used(self, tenant: Tenant) -> str:
        usage = getattr(tenant, "usage", None)
        if usage is None:
            usage = usage_of([tenant.pk])[tenant.pk]
        return "; ".join(f"{label}: {text}" for label, text in usage.items()) or "none"

    @admin.action(description="Suspend…", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        question = Question(
            "suspend",
            "Suspend tenants",
            "Every request with a key of theirs is refused at once, until they are"
            " resumed. Calls under way come to their end.",
            "Suspended",
        )
        act = partial(self._set_status, request, Tenant.Status.SUSPENDED)
        return act_with_reason(self, request, queryset, question, act)

    @admin.action(description="Resume…", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        question = Question(
            "resume", "Resume tenants", "Their keys work again at once.", "Resumed"
        )
        act = partial(self._set_status, request, Tenant.Status.ACTIVE)
        return act_with_reason(self, request, queryset, question, act)

    def _set_status(
        self, request: HttpRequest, status: Tenant.Status, tenant: Tenant, reason: str
    ) -> None:
        before = {"status": str(tenant.status)}
        tenant.set_status(status)
        resumes = status == Tenant.Status.ACTIVE
        action = "tenant.resumed" if resumes else "tenant.suspended"
        self.acted(request, tenant, action, before, {"status": str(status)}, reason)


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in sorted(KNOWN)],
        widget=forms.CheckboxSelectMultiple,
    )

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and moment <= timezone.now():
            raise forms.ValidationError("This time has passed.")
        return moment


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in ("active", "rotated", "expired", "revoked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        expired = Q(expires_at__lte=timezone.now())
        match self.value():
            case "active":
                ended = expired | Q(overlap_ends_at__lte=timezone.now())
                return queryset.filter(revoked_at=None).exclude(ended)
            case "rotated":
                ended = Q(overlap_ends_at__lte=timezone.now())
                return queryset.filter(ended, revoked_at=None)
            case "expired":
                return queryset.filter(expired, revoked_at=None)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin):
    """A key is issued and revoked here, never edited: what it could do is history."""

    form = ApiKeyForm
    list_display = [
        "prefix",
        "tenant",
        "name",
        "mode",
        "state",
        "may",
        "created_at",
        "expires_at",
        "last_used_at",
    ]
    list_filter = [StateFilter, "mode"]
    list_select_related = ["tenant"]
    ordering = ["-created_at"]
    search_fields = ["prefix", "name", "tenant__slug"]
    search_help_text = "A key's public part or name, or a tenant's slug."
    autocomplete_fields = ["tenant"]
    fields = ["tenant", "name", "mode", "scopes", "expires_at", "requests_per_minute"]
    actions = ["revoke"]

    def object_id(self, obj: ApiKey) -> str:
        return obj.prefix

    @admin.display(description="Scopes")
    def may(self, key: ApiKey) -> str:
        return " ".join(key.scopes)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = [
            "prefix",
            "allowed_addresses",
            "created_at",
            "revoked_at",
            "rotated_to",
            "overlap_ends_at",
            "last_used_at",
            "last_used_from",
        ]
        return [*self.fields, *fixed] if obj else [*self.fields]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.change_apikey")

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: Any, change: bool
    ) -> None:
        lifetime = obj.expires_at - timezone.now() if obj.expires_at else None
        issued, text = ApiKey.objects.issue(
            obj.tenant,
            obj.name,
            obj.scopes,
            obj.mode,
            lifetime,
            requests_per_minute=obj.requests_per_minute,
        )
        # The admin goes on with the object it made: it becomes the issued row.
        obj.__dict__.update(issued.__dict__)
        messages.warning(
            request,
            format_html("The key, shown this one time: <code>{}</code>", text),
        )

    @admin.action(description="Revoke…", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        question = Question(
            "revoke",
            "Revoke API keys",
            "Programs that use these keys are refused at once, in every worker and for"
            " good.",
            "Revoked",
        )
        act = partial(self._revoke, request)
        keys = queryset.select_related("tenant")
        return act_with_reason(self, request, keys, question, act)

    def _revoke(self, request: HttpRequest, key: ApiKey, reason: str) -> None:
        before = {"state": key.state()}
        key.revoke()
        after = {"state": key.state()}
        self.acted(request, key, "api_key.revoked", before, after, reason)


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin):
    """Changes members as their page does, whose rules hold for operators too."""

    kind = "member"
    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["tenant", "user"]
    search_fields = ["user__email", "tenant__slug"]
    fields = ["tenant", "user", "role"]
    autocomplete_fields = ["tenant", "user"]

    def object_id(self, obj: Membership) -> str:
        return obj.user.email

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["tenant", "user"] if obj else []

    def save_model(
        self, request: HttpRequest, obj: Membership, form: Any, change: bool
    ) -> None:
        actor = events.person(request)
        if change:
            members.change_role(actor, obj, obj.role)
        else:
            added = members.add(actor, obj.tenant, obj.user, obj.role)
            obj.__dict__.update(added.__dict__)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        members.remove(events.person(request), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for membership in queryset:
            self.delete_model(request, membership)

    # These verbs write events of their own.
    log_addition = admin.ModelAdmin.log_addition
    log_change = admin.ModelAdmin.log_change
    log_deletions = admin.ModelAdmin.log_deletions

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        return self._or_say_why(request, super().changeform_view, *args, **options)

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        return self._or_say_why(request, super().delete_view, *args, **options)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet, *args: Any, **options: Any
    ) -> Any:
        act = super().response_action
        return self._or_say_why(request, act, queryset, *args, **options)

    @staticmethod
    def _or_say_why(request: HttpRequest, view: Any, *args: Any, **options: Any) -> Any:
        try:
            return view(request, *args, **options)
        except members.NotPossible as error:
            messages.error(request, str(error))
            return redirect(request.get_full_path())


@admin.register(AccessEvent)
class AccessEventAdmin(AuditedAdmin, LargeTableAdmin, ReadOnlyAdmin):
    list_display = [
        "recorded_at",
        "tenant",
        "actor_kind",
        "actor_name",
        "action",
        "object_kind",
        "object_id",
        "address",
    ]
    list_filter = ["actor_kind"]
    search_help_text = "A tenant's slug, an e-mail address, a key's prefix, or an id."

    def found_by(self, term: str) -> Q:
        tenant = Tenant.objects.filter(slug=term).first()
        if tenant:
            return Q(tenant=tenant)
        by_id = super().found_by(term)
        if AccessEvent.objects.filter(by_id).exists():
            return by_id
        return Q(actor_name=term)
