"""Resource types of the API server, and the paths of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from outbox_operator.api.resource import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from outbox_operator.build.child import ChildKind
    from outbox_operator.build.references import ConfigName


@dataclass(frozen=True)
class Type:
    """A resource type as the API server's paths name it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, or of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
        return "/".join(parts)


DEPLOYMENTS: Final = Type("apps", "v1", "deployments")
PODS: Final = Type("", "v1", "pods")
SECRETS: Final = Type("", "v1", "secrets")
CONFIG_MAPS: Final = Type("", "v1", "configmaps")
EVENTS: Final = Type("", "v1", "events")


def type_of(kind: Kind) -> Type:
    """Return the resource type of one of our kinds."""
    return Type(GROUP, VERSION, kind.plural)


def type_of_child(kind: ChildKind) -> Type:
    """Return the resource type of a child."""
    return Type(kind.group, kind.version, kind.plural)


def type_of_config(name: ConfigName) -> Type:
    """Return the resource type of a Secret or a ConfigMap."""
    return SECRETS if name.kind == "Secret" else CONFIG_MAPS
