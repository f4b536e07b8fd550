"""The business table that callbacks write to."""

from django.db import models


class Effect(models.Model):
    """What one message did."""

    number = models.IntegerField()

    class Meta:
        db_table = "effect"


class Plain(models.Model):
    """The columns of our outbox without anything else: what an INSERT costs anyway."""

    id = models.UUIDField(primary_key=True)
    version = models.CharField(max_length=100, null=True)
    destination = models.CharField(max_length=255)
    body = models.JSONField()
    added = models.DateTimeField()
    expires_at = models.DateTimeField()
    retry = models.PositiveIntegerField()
    status = models.IntegerField()
    headers = models.JSONField()
    key = models.CharField(max_length=255, null=True)
    next_attempt_at = models.DateTimeField(null=True)
    claim_token = models.UUIDField(null=True)
    claimed_until = models.DateTimeField(null=True)
    last_error = models.TextField(null=True)

    class Meta:
        db_table = "plain"
