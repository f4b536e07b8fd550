"""What is counted: a row for each message that was meant to be sent, a row for each effect that one had."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """The business row: written in the transaction that writes the message, so it tells what was committed."""

    number = models.BigIntegerField(primary_key=True)


class Effect(models.Model):
    """What a message did. Nothing here is unique: a message that takes effect twice leaves two rows."""

    number = models.BigIntegerField()
    attempt = models.IntegerField(default=1)
    at = models.DateTimeField(auto_now_add=True)
