"""`python -m bench.page_queries EMAIL PATH…` counts what each page asks the database.

Prints a JSON object: null for a path that has no route.
"""

import json
import sys

import django


def count(email: str, path: str) -> int | None:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import Resolver404, resolve

    from lucid.isolation import across_tenants
    from tenants.models import User

    try:
        resolve(path.partition("?")[0])
    except Resolver404:
        return None
    client = Client(SERVER_NAME="127.0.0.1")
    with across_tenants():
        client.force_login(User.objects.get(email=email))
    client.get(path)  # what a process remembers is asked for once
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
        b"".join(answer)
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code}")
    return len(captured)


if __name__ == "__main__":
    django.setup()
    print(json.dumps({path: count(sys.argv[1], path) for path in sys.argv[2:]}))
