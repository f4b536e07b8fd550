"""New instances of a model as ``Model.__init__`` makes them, in a fraction of its time where nobody can tell.

Django sets each field by itself, which for a row of ours takes longer than to write it among others. ``models.py`` and
``inbox.py`` use this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.models import Field

M = TypeVar("M", bound=Model)


def new(model: type[M], given: Mapping[str, Any]) -> M:
    """Return ``model(**given)``."""
    instance = model.__new__(model)
    if model.__init__ is Model.__init__ and fill(instance, given):
        return instance
    return model(**given)


def fill(instance: Model, given: Mapping[str, Any]) -> bool:
    """Do what ``Model.__init__`` does with values by name.

    Returns False, and has done nothing, where something is given that is no field, or where the model or somebody who
    listens to its signals would notice.
    """
    blank = _blank(type(instance))
    if blank is None or not given.keys() <= blank.values.keys() or _is_heard(type(instance)):
        return False
    values = instance.__dict__
    values["_state"] = ModelState()
    values.update(blank.values)
    values.update(given)
    for name, make in blank.made:
        if name not in given:
            values[name] = make()
    return True


@dataclass(frozen=True, slots=True)
class _Blank:
    """The fields of a model with their defaults, and which of these a function makes anew for each instance."""

    values: dict[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]


@lru_cache(maxsize=64)
def _blank(model: type[Model]) -> _Blank | None:
    """Return what an instance begins with, None for a model whose instances only Django can make."""
    fields = model._meta.concrete_fields
    # What comes after Model among the bases is called by it.
    is_plain = super(Model, model).__init__ is object.__init__ and model.__setattr__ is object.__setattr__
    if not is_plain or model._meta.abstract or len(fields) != len(model._meta.fields):
        return None
    if not all(_is_value(model, field) for field in fields):
        return None
    made = {field.name: field.default for field in fields if field.has_default() and callable(field.default)}
    values = {field.name: None if field.name in made else field.get_default() for field in fields}
    return _Blank(values, tuple(made.items()))


def _is_value(model: type[Model], field: Field[Any, Any]) -> bool:
    """Tell whether to set a field is to put its value into the instance and nothing else."""
    if field.remote_field or getattr(field, "generated", False) or field.attname != field.name:
        return False
    return type(model.__dict__.get(field.attname, getattr(model, field.attname, None))) is DeferredAttribute


def _is_heard(model: type[Model]) -> bool:
    return any(signal.receivers and signal.has_listeners(model) for signal in (pre_init, post_init))
