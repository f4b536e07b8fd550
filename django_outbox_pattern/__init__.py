"""The old import name: ``django_outbox_pattern.anything`` is ``django_outbox.anything``, the very same object.

Importing this package once puts a finder in front of the import system; it answers for every submodule of the old name
with the module of the new one. No module is loaded twice, so models, settings and patches of either name are shared.
"""

from __future__ import annotations

import sys
from importlib import import_module, util
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_OLD = "django_outbox_pattern"
_NEW = "django_outbox"


class _Alias(MetaPathFinder, Loader):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{_OLD}."):
            return None
        real = util.find_spec(_NEW + fullname.removeprefix(_OLD))
        if real is None:
            return None
        is_package = real.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=real.origin, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        # The import system writes its spec into the module it is given: an empty one takes that, and is thrown away.
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(_NEW + module.__name__.removeprefix(_OLD))


sys.meta_path.insert(0, _Alias())
sys.modules[__name__] = import_module(_NEW)
