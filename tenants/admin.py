from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from tenants.models import ApiKey, Tenant, User
from tenants.scopes import KNOWN

admin.site.site_header = "Lucid"
admin.site.site_title = "Lucid"
admin.site.index_title = "Operators"
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
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


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):
    list_display = ["slug", "name", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["slug", "name"]
    fields = ["slug", "name", "status", "settings", "id", "created_at"]
    actions = ["suspend", "resume"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # The slug is in the origin of the tenant's logs, for good. The status
        # changes by the actions below, which tell every worker.
        fixed = ["id", "created_at", "status"]
        return [*fixed, "slug"] if obj else fixed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Suspend: refuse every request with its keys")
    def suspend(self, request: HttpRequest, queryset: Any) -> None:
        for tenant in queryset:
            tenant.set_status(Tenant.Status.SUSPENDED)
            self.log_change(request, tenant, "Suspended.")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: Any) -> None:
        for tenant in queryset:
            tenant.set_status(Tenant.Status.ACTIVE)
            self.log_change(request, tenant, "Resumed.")


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


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """A key is issued and revoked here, never edited: what it could do is history."""

    form = ApiKeyForm
    list_display = ["prefix", "tenant", "name", "mode", "state", "last_used_at"]
    list_filter = ["mode", "revoked_at"]
    list_select_related = ["tenant"]
    search_fields = ["prefix", "name", "tenant__slug"]
    fields = ["tenant", "name", "mode", "scopes", "expires_at"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = ["prefix", "created_at", "revoked_at", "last_used_at"]
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
        )
        # The admin goes on with the object it made: it becomes the issued row.
        obj.__dict__.update(issued.__dict__)
        messages.warning(
            request,
            format_html("The key, shown this one time: <code>{}</code>", text),
        )

    @admin.action(description="Revoke, at once", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        for key in queryset:
            key.revoke()
            self.log_change(request, key, "Revoked.")
