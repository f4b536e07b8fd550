"""Which Secrets and ConfigMaps resources were decided from, and in which version. `reconcile` notes, `resync` compares.

They are not watched, and one of them may be used by a thousand resources. So each is looked at once, and only the
resources that know another version of it are looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outbox_operator.build.references import ConfigName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox_operator.api.resource import Key

Versions = dict[ConfigName, str | None]
"""The `resourceVersion` of each; None: it does not exist."""


class Dependency(NamedTuple):
    """A Secret or a ConfigMap that resources refer to."""

    namespace: str
    config: ConfigName

    @property
    def place(self) -> tuple[str, str]:
        """Where it is: namespace and name."""
        return self.namespace, self.config.name


class Dependencies:
    """Who refers to what."""

    def __init__(self) -> None:
        self._seen: dict[Key, Versions] = {}
        self._users: dict[Dependency, set[Key]] = {}

    def note(self, key: Key, seen: Mapping[ConfigName, str | None]) -> None:
        """Remember what a resource has been decided from now; nothing: it is gone, or refers to nothing."""
        for name in self._seen.pop(key, {}):
            dependency = Dependency(key.namespace, name)
            users = self._users[dependency]
            users.discard(key)
            if not users:
                del self._users[dependency]
        if seen:
            self._seen[key] = dict(seen)
        for name in seen:
            self._users.setdefault(Dependency(key.namespace, name), set()).add(key)

    def all(self) -> tuple[Dependency, ...]:
        """Return everything that is referred to, each once."""
        return tuple(self._users)

    def outdated(self, dependency: Dependency, version: str | None) -> Iterable[Key]:
        """Return the resources that were decided from another version than this one."""
        users = self._users.get(dependency, ())
        return [key for key in users if self._seen[key][dependency.config] != version]
