"""`python -m bench.tenants COUNT` makes tenants and prints an API key for each."""

import sys

import django


def make(count: int) -> list[str]:
    from lucid.isolation import across_tenants
    from tenants.models import ApiKey, Tenant  # Django has to be set up first

    tenants = [Tenant(slug=f"bench-{n}", name=f"Bench {n}") for n in range(count)]
    scopes = ["*"]
    with across_tenants():
        Tenant.objects.bulk_create(tenants)
        return [ApiKey.objects.issue(tenant, "bench", scopes)[1] for tenant in tenants]


if __name__ == "__main__":
    django.setup()
    print("\n".join(make(int(sys.argv[1]))))
