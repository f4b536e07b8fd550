"""The CRDs that this version of the operator comes with. The copies in the package are made from `crds/`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from outbox_operator.api.resource import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Kind

# The one in C, where PyYAML was built with it, needs a tenth of the time.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def openapi_schema(kind: Kind) -> Mapping[str, Any]:
    """Return the schema of a kind in the version that the operator works with."""
    text = (resources.files(__package__) / "crds" / f"{kind.plural}.yaml").read_text("utf-8")
    versions = yaml.load(text, Loader=_LOADER)["spec"]["versions"]  # noqa: S506 - safe, either of them
    found: Mapping[str, Any] = next(item for item in versions if item["name"] == VERSION)["schema"]["openAPIV3Schema"]
    return found
