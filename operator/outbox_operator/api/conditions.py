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
AUTOSCALING_READY: Final = "AutoscalingReady"
"""KEDA scales the workers by the backlog; Unknown where `spec.autoscaling` is not set."""
SUSPENDED: Final = "Suspended"
"""`spec.state` is Suspended and no workers run, or reconciling is paused by annotation."""
TYPES: Final = (READY, PROGRESSING, CONFIG_RESOLVED, AUTOSCALING_READY, SUSPENDED)

# Reasons: stable.
WORKERS_AVAILABLE: Final = "WorkersAvailable"
"""As many workers as wanted are available."""
SCALED_TO_ZERO: Final = "ScaledToZero"
"""`spec.replicas` is 0, or there is no work for KEDA to start a worker for; that is wanted, so Ready is True."""
STATE_SUSPENDED: Final = "Suspended"
"""`spec.state` is Suspended."""
RECONCILIATION_PAUSED: Final = "ReconciliationPaused"
"""The annotation `djangooutbox.io/reconcile` is Paused: nothing but the status is written."""
STATE_RUNNING: Final = "Running"
"""`spec.state` is Running."""
ROLLOUT_COMPLETE: Final = "RolloutComplete"
"""All workers are of the present revision."""
PROGRESS_DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
"""A roll made no progress for `spec.progressDeadlineSeconds`; the old workers go on."""
ALL_REFERENCES_FOUND: Final = "AllReferencesFound"
"""Everything the resource refers to exists."""
SECRET_NOT_FOUND: Final = "SecretNotFound"  # noqa: S105 - a reason, not a secret
"""A Secret, or a key in it, is missing."""
CONFIG_MAP_NOT_FOUND: Final = "ConfigMapNotFound"
"""A ConfigMap, or a key in it, is missing."""
WORKLOAD_NOT_FOUND: Final = "WorkloadNotFound"
"""The Deployment of `workloadRef`, or the container named there, is missing."""
WORKLOAD_REFUSED: Final = "WorkloadRefused"
"""`workloadRef` names a Deployment of workers, which cannot be followed."""
QUEUE_CONFLICT: Final = "QueueConflict"
"""An older Subscription of the namespace hands the same queue to another callback."""
HOST_ACCESS_REFUSED: Final = "HostAccessRefused"
"""The pod template reaches the node (hostPath, privileged, ...), which the operator does not lend its rights for."""
NAME_CONFLICT: Final = "NameConflict"
"""A Deployment of the name that is needed exists and belongs to somebody else."""
INVALID_SPEC: Final = "InvalidSpec"
"""The API server refuses the Deployment, or the stored resource breaks a rule of the schema; the message says which."""
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
"""The node cannot get the image; the message names it and carries the node's words."""
CRASH_LOOPING: Final = "CrashLooping"
"""A worker ends again and again; the message carries its exit code and last words."""
CALLBACK_NOT_IMPORTABLE: Final = "CallbackNotImportable"
"""The image has no such callback, or importing it fails; the message carries Python's error."""
PREFLIGHT_FAILED: Final = "PreflightFailed"
"""The init container `preflight` found what keeps a worker from its work; the message carries Python's error."""
MIGRATIONS_PENDING: Final = "MigrationsPending"
"""New workers wait for migrations of their image that are not applied; the message names them once they are known."""
CONTAINER_CANNOT_START: Final = "ContainerCannotStart"
"""The node cannot create or start the container, for a cause other than the image or missing configuration."""
UNSCHEDULABLE: Final = "Unschedulable"
"""No node has room for a worker, or none fits."""
PODS_NOT_CREATED: Final = "PodsNotCreated"
"""The cluster refuses to create the pods (quota, pod security, missing ServiceAccount)."""
WORKERS_NOT_READY: Final = "WorkersNotReady"
"""Workers run and say that they cannot do their work, mostly for want of the broker or the database."""
NOT_CONFIGURED: Final = "NotConfigured"
"""`spec.autoscaling` is not set."""
SCALING: Final = "Scaling"
"""KEDA reads the backlog and sets the number of workers."""
KEDA_NOT_INSTALLED: Final = "KedaNotInstalled"
"""The cluster does not know KEDA's ScaledObject; at least `minReplicas` workers, and one, run meanwhile."""
SCALED_OBJECT_NOT_READY: Final = "ScaledObjectNotReady"
"""KEDA refuses the ScaledObject or cannot work with it; the message carries KEDA's words."""
FALLBACK_ACTIVE: Final = "FallbackActive"
"""The backlog cannot be read again and again; KEDA runs the workers of `autoscaling.fallback`."""
METRIC_UNAVAILABLE: Final = "MetricUnavailable"
"""The HorizontalPodAutoscaler gets no backlog from KEDA; the number of workers stays as it is."""
SCALE_UP_HELD: Final = "ScaleUpHeld"
"""A roll is stuck: no workers are added until it goes on, since they would fail as well."""
PAUSED: Final = "Paused"
"""Somebody has paused the ScaledObject with an annotation of KEDA's."""

# Reasons: moments of normal work.
WORKERS_STARTING: Final = "WorkersStarting"
"""The first workers are on their way."""
ROLLING_OUT: Final = "RollingOut"
"""New workers replace old ones."""
SUSPENDING: Final = "Suspending"
"""The last workers finish what they have begun."""
PREVIOUS_WORKER_STOPPING: Final = "PreviousWorkerStopping"
"""The worker of an Ordered Subscription waits until the one before it is gone."""
ON_HOLD: Final = "OnHold"
"""Nothing is rolled out until the cause named in Ready is gone."""
TERMINATING_PREDECESSOR: Final = "TerminatingPredecessor"
"""The Deployment of a deleted resource of the same name is still going away."""
WAITING_FOR_KEDA: Final = "WaitingForKeda"
"""KEDA has not looked at the ScaledObject yet."""
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
