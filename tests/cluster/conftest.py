"""The cluster tier: a real API server and controller-manager without nodes, and the operator as a process."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.operator_process import Cluster, OperatorProcess
from tests.rig import ApiServer, RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = Path(__file__).parents[2] / "crds"
SHARED_NAMESPACE = "shared"
_numbers = itertools.count(1)


def start_api_server(*crds: Path) -> Iterator[Cluster]:
    """Start an API server; a missing program fails the test in CI and skips it, with its name, elsewhere."""
    server = ApiServer(with_controller_manager=True, crds=crds)
    try:
        server.__enter__()
    except RigError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no API server: {error}")
    try:
        yield Cluster(server)
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The API server that the tier shares."""
    yield from start_api_server(CRDS)


@pytest.fixture
def private_cluster() -> Iterator[Cluster]:
    """An API server that a test may restart."""
    yield from start_api_server(CRDS)


@pytest.fixture
def bare_cluster() -> Iterator[Cluster]:
    """An API server that does not know our resources yet."""
    yield from start_api_server()


@pytest.fixture(scope="session")
def shared_operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator for the namespace `shared`, which enforces restricted pods; it looks at everything every second."""
    cluster.kubectl("create", "namespace", SHARED_NAMESPACE)
    cluster.kubectl("label", "namespace", SHARED_NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    with OperatorProcess(cluster, tmp_path_factory.mktemp("operator"), SHARED_NAMESPACE) as operator:
        yield operator


@pytest.fixture
def served(cluster: Cluster, shared_operator: OperatorProcess) -> Cluster:
    """The shared API server, seen from the namespace that the shared operator serves."""
    shared_operator.assert_alive()
    return cluster.inside(SHARED_NAMESPACE)


@pytest.fixture
def name() -> str:
    """A name of its own for each test."""
    return f"t{next(_numbers)}"


@pytest.fixture
def own(cluster: Cluster, name: str) -> Cluster:
    """A namespace of its own, which no operator serves yet."""
    cluster.kubectl("create", "namespace", f"own-{name}")
    return cluster.inside(f"own-{name}")
