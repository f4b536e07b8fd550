"""Which Secrets and ConfigMaps a pod template needs. `observe` reads them, `plan` checks and hashes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ConfigKind = Literal["Secret", "ConfigMap"]


@dataclass(frozen=True, order=True)
class ConfigName:
    """A Secret or a ConfigMap of the resource's namespace."""

    kind: ConfigKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, order=True)
class Reference:
    """One use of a Secret or ConfigMap in a pod template."""

    target: ConfigName
    key: str | None
    """The key that is needed; None: the object only."""
    optional: bool
    env: bool
    """Whether the environment is taken from it; such pods must be replaced to see a change."""


def references(template: Mapping[str, Any]) -> tuple[Reference, ...]:
    """Return all references of a pod template, sorted, without repetitions."""
    spec = template["spec"]
    found: set[Reference] = set()
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        found.update(_of_container(container))
    for volume in spec.get("volumes", ()):
        found.update(_of_volume(volume))
    return tuple(sorted(found, key=lambda item: (item.target, item.key or "", item.optional, item.env)))


def _of_container(container: Mapping[str, Any]) -> Iterator[Reference]:
    for source in container.get("envFrom", ()):
        yield from _named(source, "secretRef", "configMapRef", env=True)
    for variable in container.get("env", ()):
        yield from _named(variable.get("valueFrom") or {}, "secretKeyRef", "configMapKeyRef", env=True)


def _named(source: Mapping[str, Any], secret: str, config_map: str, *, env: bool) -> Iterator[Reference]:
    pairs: tuple[tuple[str, ConfigKind], ...] = ((secret, "Secret"), (config_map, "ConfigMap"))
    for field, kind in pairs:
        reference = source.get(field)
        if reference and reference.get("name"):
            target = ConfigName(kind, reference["name"])
            yield Reference(target, reference.get("key"), bool(reference.get("optional")), env)


def _of_volume(volume: Mapping[str, Any]) -> Iterable[Reference]:
    sources = [volume, *(volume.get("projected") or {}).get("sources", ())]
    for source in sources:
        secret, config_map = source.get("secret") or {}, source.get("configMap") or {}
        secret_name = secret.get("secretName") or secret.get("name")
        if secret_name:
            yield Reference(ConfigName("Secret", secret_name), None, bool(secret.get("optional")), env=False)
        if config_map.get("name"):
            name = ConfigName("ConfigMap", config_map["name"])
            yield Reference(name, None, bool(config_map.get("optional")), env=False)
