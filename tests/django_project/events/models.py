"""Models as a user of the library writes them: one for each shape that ``@publish`` has to get right."""

from __future__ import annotations

from typing import Any

from django.db import models

from django_outbox.decorators import Config, publish


@publish([Config(destination="/topic/plain")])
class Plain(models.Model):
    """Nothing but a destination."""

    field_one = models.CharField(max_length=100)
    field_two = models.CharField(max_length=100)


@publish([Config(destination="/topic/versioned", version="v1")])
class Versioned(models.Model):
    """A version on the destination."""

    field_one = models.CharField(max_length=100)


@publish([Config(destination="/topic/chosen", fields=["field_one"])])
class Chosen(models.Model):
    """Some of the fields."""

    field_one = models.CharField(max_length=100)
    field_two = models.CharField(max_length=100)


@publish(
    [
        Config(destination="/topic/first", serializer="as_first"),
        Config(destination="/topic/second", serializer="as_second"),
    ]
)
class Serialized(models.Model):
    """Two messages, each with a serializer."""

    field_one = models.CharField(max_length=100)
    field_two = models.CharField(max_length=100)

    def as_first(self) -> dict[str, Any]:
        """Return the body of the first message."""
        return {"id": self.id, "one": self.field_one}

    def as_second(self) -> dict[str, Any]:
        """Return the body of the second message."""
        return {"id": self.id, "two": self.field_two}


@publish(
    [
        Config(destination="/topic/by-attribute", key="group_id"),
        Config(destination="/topic/by-method", key="group_name"),
        Config(destination="/topic/by-function", key=lambda instance: instance.nickname),
    ]
)
class Keyed(models.Model):
    """Messages whose order matters to somebody."""

    group_id = models.IntegerField()
    nickname = models.CharField(max_length=100, null=True)

    def group_name(self) -> str:
        """Return the group in words."""
        return f"group {self.group_id}"


class Author(models.Model):
    """Something to point at; publishes nothing."""

    name = models.CharField(max_length=100)


@publish([Config(destination="/topic/rich")])
class Rich(models.Model):
    """Fields of every kind that needs care in JSON."""

    author = models.ForeignKey(Author, null=True, on_delete=models.CASCADE)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    day = models.DateField(null=True)
    notes = models.JSONField(default=dict)
    readers = models.ManyToManyField(Author, related_name="read")


@publish([Config(destination="/topic/own-save", serializer="body")])
class OwnSave(models.Model):
    """A model whose own save() must go on working."""

    name = models.CharField(max_length=100)
    slug = models.CharField(max_length=100)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Derive the slug, as many a model does."""
        self.slug = self.name.lower()
        super().save(*args, **kwargs)

    def body(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {"slug": self.slug}


@publish([Config(destination="/topic/parent")])
class Parent(models.Model):
    """A model that others inherit from."""

    name = models.CharField(max_length=100)


class Child(Parent):
    """Inherits the messages together with the fields."""

    extra = models.CharField(max_length=100)


@publish([Config(destination="/topic/grandchild")])
class Grandchild(Child):
    """Adds a message of its own."""

    more = models.CharField(max_length=100)


@publish([Config(destination="/topic/order.placed", fields=["customer", "amount"])])
class Order(models.Model):
    """The model of the README and of docs/testing.md."""

    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class Invoice(models.Model):
    """What the README's callback writes."""

    order_id = models.IntegerField()
    amount = models.DecimalField(max_digits=10, decimal_places=2)


class Effect(models.Model):
    """What a callback of the tests did: nothing here stops a second effect of one message, so a test sees it."""

    key = models.CharField(max_length=200)
