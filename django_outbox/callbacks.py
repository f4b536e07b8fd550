"""Find the function that a dotted path names, or say exactly why that fails and what to do about it.

Used by ``subscribe``, ``outbox check`` and ``outbox preflight``. What it says ends up as the last line of a container
that could not start.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import TYPE_CHECKING, Any

from django_outbox.batching import batching_of
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

    from django_outbox.subscription import Callback


def import_callback(path: str) -> Callback:
    """Return the callable at ``path``; raises ``ConfigurationError`` with one line that explains."""
    module_path, _, name = path.rpartition(".")
    if not module_path or not name:
        raise _error(path, "It is not a dotted path.", "Write it like 'billing.callbacks.on_order'.")
    module = _import_module(path, module_path)
    try:
        callback = getattr(module, name)
    except AttributeError as error:
        near = difflib.get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], n=1)
        advice = f"Did you mean '{module_path}.{near[0]}'?" if near else "Check the name."
        raise _error(path, f"Module '{module_path}' has no attribute '{name}'.", advice) from error
    _check_callable(path, callback)
    return callback  # type: ignore[no-any-return]


def signature_problem(path: str, callback: Callback) -> str | None:
    """Tell why the callback cannot be called with one argument; what has no signature has the benefit of the doubt."""
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(object())
    except TypeError as error:
        what = "a payload" if batching_of(callback) is None else "a list of payloads"
        return f"'{path}{signature}' cannot be called with {what}: {error}. Let it take exactly one argument."
    return None


def _import_module(path: str, module_path: str) -> ModuleType:
    try:
        return importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        if error.name and (module_path == error.name or module_path.startswith(f"{error.name}.")):
            cause = f"There is no module '{error.name}'."
            raise _error(path, cause, "Check the spelling and that the package is installed in this image.") from error
        cause = f"Importing '{module_path}' raised {_describe(error)}."
        raise _error(path, cause, "Install what it imports.") from error
    except Exception as error:
        cause = f"Importing '{module_path}' raised {_describe(error)}."
        raise _error(path, cause, f"Correct the module; python -c 'import {module_path}' shows where.") from error


def _check_callable(path: str, callback: Any) -> None:
    if not callable(callback):
        raise _error(path, f"It is of type {type(callback).__name__}, not a function.", "Name a function.")
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None)):  # noqa: B004
        raise _error(path, "It is a coroutine function.", "Wrap it with asgiref.sync.async_to_sync.")


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _error(path: str, cause: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"Could not import '{path}'. {cause} {advice}")
