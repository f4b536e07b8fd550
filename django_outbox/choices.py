"""The states of a row; the numbers are what the tables hold."""

from __future__ import annotations

from django.db import models


class StatusChoice(models.IntegerChoices):
    """SCHEDULE waits to be sent, SUCCEEDED is confirmed by the broker, FAILED is parked until someone replays it."""

    FAILED = -1
    SCHEDULE = 1
    SUCCEEDED = 2
