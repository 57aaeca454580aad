"""Routes of this app; static paths come before those with a name in them."""

from django.urls import URLPattern

v1: list[URLPattern] = []
