"""A Publisher is scaled by its outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.manifests import publisher, secret
from tests.cluster.predicates import replicas
from tests.integration.library.publish.conftest import migrated_template, project
from tests.keda.resources import by_outbox

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster
    from tests.integration.library.publish.publisher import Project
    from tests.rig.hostservices import Postgres

__all__ = ["migrated_template", "project"]
SECONDS = 90.0


@pytest.fixture
def database_url(postgres: Postgres, project: Project) -> str:
    name = project.database.name
    return f"postgresql://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/{name}"


def test_publishers_come_with_unsent_rows_and_go_when_all_are_sent(
    scaled: Cluster, project: Project, database_url: str, name: str
) -> None:
    scaled.apply(secret(name, DATABASE_URL=database_url))
    scaled.apply(publisher(name, autoscaling=by_outbox(name)))
    scaled.wait("deployment", f"{name}-pub", "no rows, no workers", replicas(0), SECONDS)
    project.database.fill("/topic/a", 25)
    scaled.wait("deployment", f"{name}-pub", "3 workers for 25 rows", replicas(3), SECONDS)
    project.database.rows("UPDATE published SET status = 2")
    scaled.wait("deployment", f"{name}-pub", "no workers", replicas(0), SECONDS)
