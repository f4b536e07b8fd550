"""``@publish``: saving a model writes its messages in the same transaction.

The decorator wraps the ``save()`` that the class has, its own or an inherited one, and leaves everything else as it is.
Fixtures are written without ``save()`` and publish nothing.
"""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.core.serializers import serialize
from django.db import models, router, transaction

from django_outbox.outbox import published_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ModelT = TypeVar("ModelT", bound=models.Model)


class Config(NamedTuple):
    """One message that a saved model sends.

    ``destination`` is required. ``serializer`` names a method of the model that returns the body; without it the body
    is ``id`` and ``fields``, by default all fields of the model. ``version`` is appended to the destination with a dot.
    ``key`` names an attribute of the instance, or is a function of it; messages with the same value are sent in order.
    """

    destination: str
    fields: list[str] | None = None
    serializer: str | None = None
    version: str | None = None
    key: str | Callable[[Any], object] | None = None


# save(force_insert, force_update, using, update_fields), as older code calls it.
_POSITION_OF_USING = 2

# What was decorated, for checks.py.
registry: list[tuple[type[models.Model], tuple[Config, ...]]] = []


def publish(configs: Sequence[Config]) -> Callable[[type[ModelT]], type[ModelT]]:
    """Make each save of the decorated model write one message for each of ``configs``.

    Model and messages are written in one transaction, on the database that the model is saved to. Subclasses of the
    model publish too.
    """
    wanted = tuple(Config(*config) for config in configs)

    def decorate(model: type[ModelT]) -> type[ModelT]:
        _wrap_save(model, wanted)
        registry.append((model, wanted))
        return model

    return decorate


def _wrap_save(model: type[models.Model], configs: tuple[Config, ...]) -> None:
    # A model without a save() of its own asks its bases each time: one of them may be decorated or patched later.
    own_save = model.__dict__.get("save")

    @wraps(model.save)
    def save(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = _database_of(self, args, kwargs)
        with transaction.atomic(using=using):
            if own_save is None:
                super(model, self).save(*args, **kwargs)  # type: ignore[misc]
            else:
                own_save(self, *args, **kwargs)
            for config in configs:
                _write_message(self, model, config, self._state.db or using)

    model.save = save  # type: ignore[method-assign]


def _database_of(instance: models.Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the database that this call of ``save()`` writes to."""
    given = kwargs.get("using")
    if given is None and len(args) > _POSITION_OF_USING and isinstance(args[_POSITION_OF_USING], str):
        given = args[_POSITION_OF_USING]
    return given or router.db_for_write(type(instance), instance=instance)


def _write_message(instance: models.Model, model: type[models.Model], config: Config, using: str) -> None:
    message = published_model()(
        body=_body_of(instance, model, config),
        destination=config.destination,
        version=config.version,
        key=_key_of(instance, config),
    )
    message.save(using=using)


def _key_of(instance: models.Model, config: Config) -> str | None:
    if config.key is None:
        return None
    value = config.key(instance) if callable(config.key) else getattr(instance, config.key)
    if callable(value):
        value = value()
    return None if value is None else str(value)


def _body_of(instance: models.Model, model: type[models.Model], config: Config) -> Any:
    if config.serializer is not None and hasattr(instance, config.serializer):
        return getattr(instance, config.serializer)()
    body: dict[str, Any] = {"id": None}
    for part in _parts(instance, model):
        document = json.loads(serialize("json", [part], fields=config.fields))[0]
        body |= {"id": document["pk"], **document["fields"]}
    return body


def _parts(instance: models.Model, model: type[models.Model]) -> Iterator[models.Model]:
    """Yield the instance as each model whose table holds fields of ``model``: parents first, most often just itself.

    Django's serializer writes the fields of one table; a model that inherits from another has fields in both.
    """
    concrete = (type(instance) if model._meta.abstract else model)._meta.concrete_model or model
    for ancestor in (*reversed(concrete._meta.get_parent_list()), concrete):
        if ancestor is instance._meta.concrete_model:
            yield instance
        else:
            values = {field.attname: getattr(instance, field.attname) for field in ancestor._meta.concrete_fields}
            part = ancestor(**values)
            part._state.db, part._state.adding = instance._state.db, False
            yield part
