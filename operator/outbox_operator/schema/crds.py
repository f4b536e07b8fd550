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


@cache
def openapi_schema(kind: Kind) -> Mapping[str, Any]:
    """Return the schema of a kind in the version that the operator works with."""
    text = (resources.files(__package__) / "crds" / f"{kind.plural}.yaml").read_text("utf-8")
    versions = yaml.safe_load(text)["spec"]["versions"]
    found: Mapping[str, Any] = next(item for item in versions if item["name"] == VERSION)["schema"]["openAPIV3Schema"]
    return found
