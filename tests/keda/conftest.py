"""The tier of autoscaling: a real API server and controller-manager, KEDA's programs, and the operator, as processes.

Real servers give the backlog; pods are objects that no node runs, which is enough to watch `replicas` move.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.operator_process import Cluster, OperatorProcess
from tests.rig import ApiServer, RigError
from tests.rig.keda import CONTROLLERS, Keda, keda_crds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.hostservices import RabbitMQ

CRDS = Path(__file__).parents[2] / "crds"
NAMESPACE = "scaled"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def keda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keda]:
    """KEDA beside an API server of its own; what is missing fails the test in CI and skips it elsewhere."""
    try:
        server = ApiServer(with_controller_manager=True, crds=(CRDS, keda_crds()), controllers=CONTROLLERS)
        with server, Keda(server) as running:
            yield running
    except RigError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no KEDA: {error}")


@pytest.fixture(scope="session")
def cluster(keda: Keda, rabbitmq: RabbitMQ) -> Cluster:
    """The API server, seen from the namespace that the operator serves, with the broker's credentials in it."""
    cluster = Cluster(keda.server)
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster = cluster.inside(NAMESPACE)
    user = {"username": rabbitmq.username, "password": rabbitmq.passcode}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broker"}, "stringData": user})
    return cluster


@pytest.fixture(scope="session")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator; it looks at everything every second."""
    with OperatorProcess(cluster, tmp_path_factory.mktemp("operator"), NAMESPACE) as operator:
        yield operator


@pytest.fixture
def scaled(cluster: Cluster, operator: OperatorProcess) -> Cluster:
    """The cluster that the operator serves."""
    operator.assert_alive()
    return cluster


@pytest.fixture
def name() -> str:
    """A name of its own for each test."""
    return f"k{next(_numbers)}"
