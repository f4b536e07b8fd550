"""The API server: its types, how to reach it, and the requests that are made. No error of the client leaves it."""

from outbox_operator.kube.answers import Answer
from outbox_operator.kube.api import Api
from outbox_operator.kube.configuration import load_configuration
from outbox_operator.kube.types import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    SECRETS,
    Type,
    type_of,
    type_of_child,
    type_of_config,
)

__all__ = (
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "EVENTS",
    "PODS",
    "SECRETS",
    "Answer",
    "Api",
    "Type",
    "load_configuration",
    "type_of",
    "type_of_child",
    "type_of_config",
)
