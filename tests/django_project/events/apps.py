"""The app whose models the tests publish."""

from __future__ import annotations

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Models as a user of the library would write them; without migrations, ``migrate --run-syncdb`` makes them."""

    name = "tests.django_project.events"
    label = "events"
