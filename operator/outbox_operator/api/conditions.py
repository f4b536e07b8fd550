"""Conditions and reasons that the status carries.

Types and the reasons of the first group are API: stable within a version of the schema, safe to alert on. Reasons of
the second group describe moments of normal work and may be refined at any time. Messages are for people and change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Status = Literal["True", "False", "Unknown"]

# Types.
READY: Final = "Ready"
"""Summary: as many workers as wanted are available, nothing is in the way."""
PROGRESSING: Final = "Progressing"
"""Workers are being started or replaced."""
CONFIG_RESOLVED: Final = "ConfigResolved"
"""Whatever the resource refers to (Secrets, ConfigMaps and their keys, the followed workload) exists."""
SUSPENDED: Final = "Suspended"
"""`spec.state` is Suspended and no workers run."""
TYPES: Final = (READY, PROGRESSING, CONFIG_RESOLVED, SUSPENDED)

# Reasons: stable.
WORKERS_AVAILABLE: Final = "WorkersAvailable"
SCALED_TO_ZERO: Final = "ScaledToZero"
"""`spec.replicas` is 0; that is what was asked for, so Ready is True."""
STATE_SUSPENDED: Final = "Suspended"
STATE_RUNNING: Final = "Running"
ROLLOUT_COMPLETE: Final = "RolloutComplete"
PROGRESS_DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
ALL_REFERENCES_FOUND: Final = "AllReferencesFound"
SECRET_NOT_FOUND: Final = "SecretNotFound"  # noqa: S105 - a reason, not a secret
"""A Secret, or a key in it, is missing."""
CONFIG_MAP_NOT_FOUND: Final = "ConfigMapNotFound"
"""A ConfigMap, or a key in it, is missing."""
WORKLOAD_NOT_FOUND: Final = "WorkloadNotFound"
"""The Deployment of `workloadRef`, or the container named there, is missing."""
WORKLOAD_REFUSED: Final = "WorkloadRefused"
"""`workloadRef` names a Deployment of workers, which cannot be followed."""
NAME_CONFLICT: Final = "NameConflict"
"""A Deployment of the name that is needed exists and belongs to somebody else."""
INVALID_SPEC: Final = "InvalidSpec"
"""The API server refuses the Deployment; the message carries its words."""
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
CRASH_LOOPING: Final = "CrashLooping"
CALLBACK_NOT_IMPORTABLE: Final = "CallbackNotImportable"
CONTAINER_CANNOT_START: Final = "ContainerCannotStart"
"""The node cannot create or start the container, for a cause other than the image or missing configuration."""
UNSCHEDULABLE: Final = "Unschedulable"
PODS_NOT_CREATED: Final = "PodsNotCreated"
"""The cluster refuses to create the pods (quota, pod security, missing ServiceAccount)."""
WORKERS_NOT_READY: Final = "WorkersNotReady"
"""Workers run and say that they cannot do their work, mostly for want of the broker or the database."""

# Reasons: moments of normal work.
WORKERS_STARTING: Final = "WorkersStarting"
ROLLING_OUT: Final = "RollingOut"
SUSPENDING: Final = "Suspending"
ON_HOLD: Final = "OnHold"
"""Nothing is rolled out until the cause named in Ready is gone."""
TERMINATING_PREDECESSOR: Final = "TerminatingPredecessor"
"""The Deployment of a deleted resource of the same name is still going away."""
REFERENCES_UNKNOWN: Final = "ReferencesUnknown"
"""References are not looked at until the cause named in Ready is gone."""


@dataclass(frozen=True)
class Problem:
    """Something in the way: a reason above and a message that says what is wrong and what to do."""

    reason: str
    message: str


@dataclass(frozen=True)
class Condition:
    """One condition before it is stamped with a time."""

    type: str
    status: Status
    reason: str
    message: str
