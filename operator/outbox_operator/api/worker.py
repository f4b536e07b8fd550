"""Fields that Publisher and Subscription share. The defaults equal those of `crds/`; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from outbox_operator.api.autoscaling import Autoscaling, parse_autoscaling

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_COMMAND: Final = ("python", "manage.py")
DEFAULT_METRICS_PORT: Final = 9090
PREFLIGHT_CHECKS: Final = ("Callback", "Migrations", "Broker", "Queue")


@dataclass(frozen=True)
class WorkloadRef:
    """The Deployment of the application that is followed."""

    name: str
    container: str | None = None


@dataclass(frozen=True)
class DisruptionBudget:
    """How many workers a node drain may stop at once."""

    policy: Literal["Auto", "Disabled"]
    max_unavailable: int | str


@dataclass(frozen=True)
class Preflight:
    """What is checked before a worker starts."""

    policy: Literal["Enabled", "Disabled"]
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Migrations:
    """Whether a worker waits until the migrations of its image are applied."""

    policy: Literal["Ignore", "Wait"]
    timeout_seconds: int


@dataclass(frozen=True)
class WorkerSpec:
    """How workers run, whatever they do."""

    image: str | None
    workload_ref: WorkloadRef | None
    image_pull_policy: str | None
    image_pull_secrets: tuple[str, ...]
    command: tuple[str, ...]
    extra_args: tuple[str, ...]
    settings_module: str | None
    env: tuple[Mapping[str, Any], ...]
    env_from: tuple[Mapping[str, Any], ...]
    service_account_name: str | None
    resources: Mapping[str, Any] | None
    replicas: int | None
    """None leaves the number to whoever scales the Deployment."""
    autoscaling: Autoscaling | None
    state: Literal["Running", "Suspended"]
    strategy: Mapping[str, Any] | None
    min_ready_seconds: int
    progress_deadline_seconds: int
    revision_history_limit: int
    termination_grace_period_seconds: int
    restart_policy: Literal["OnConfigChange", "Never"]
    preflight: Preflight
    migrations: Migrations
    disruption_budget: DisruptionBudget
    topology_spread: Literal["Auto", "Disabled"]
    metrics_port: int
    template: Mapping[str, Any]

    @property
    def suspended(self) -> bool:
        """Whether no workers should run."""
        return self.state == "Suspended"


def parse_worker(spec: Mapping[str, Any]) -> WorkerSpec:
    """Read the shared fields; the API server has validated them, missing defaults are filled in here."""
    reference = spec.get("workloadRef")
    preflight, migrations = spec.get("preflight", {}), spec.get("migrations", {})
    budget = spec.get("podDisruptionBudget", {})
    return WorkerSpec(
        image=spec.get("image"),
        workload_ref=WorkloadRef(reference["name"], reference.get("container")) if reference else None,
        image_pull_policy=spec.get("imagePullPolicy"),
        image_pull_secrets=tuple(item["name"] for item in spec.get("imagePullSecrets", ())),
        command=tuple(spec.get("command", DEFAULT_COMMAND)),
        extra_args=tuple(spec.get("extraArgs", ())),
        settings_module=spec.get("settingsModule"),
        env=tuple(spec.get("env", ())),
        env_from=tuple(spec.get("envFrom", ())),
        service_account_name=spec.get("serviceAccountName"),
        resources=spec.get("resources"),
        replicas=spec.get("replicas"),
        autoscaling=parse_autoscaling(spec),
        state=spec.get("state", "Running"),
        strategy=spec.get("strategy"),
        min_ready_seconds=spec.get("minReadySeconds", 0),
        progress_deadline_seconds=spec.get("progressDeadlineSeconds", 600),
        revision_history_limit=spec.get("revisionHistoryLimit", 3),
        termination_grace_period_seconds=spec.get("terminationGracePeriodSeconds", 120),
        restart_policy=spec.get("restartPolicy", "OnConfigChange"),
        preflight=Preflight(preflight.get("policy", "Enabled"), tuple(preflight.get("checks", PREFLIGHT_CHECKS))),
        migrations=Migrations(migrations.get("policy", "Ignore"), migrations.get("timeoutSeconds", 300)),
        disruption_budget=DisruptionBudget(budget.get("policy", "Auto"), budget.get("maxUnavailable", 1)),
        topology_spread=spec.get("topologySpread", {}).get("policy", "Auto"),
        metrics_port=spec.get("metrics", {}).get("port", DEFAULT_METRICS_PORT),
        template=spec.get("template", {}),
    )
