"""With 200,000 rows in PostgreSQL the admin and the commands ask only what an index answers."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.publish.publisher import Database, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.hostservices import Postgres, RabbitMQ

ROWS = 200_000
# The rows of a day are 28,800: the farthest that a search by destination looks back.
MOST_ROWS_READ = 35_000

VISIT = """
import json, sys
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
user, _ = User.objects.get_or_create(username="admin", is_staff=True, is_superuser=True)
client = Client()
client.force_login(user)
for url in json.loads(sys.stdin.read()):
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    plans = []
    for query in queries:
        if 'FROM "published"' in query["sql"] or 'FROM "received"' in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
                plans.append([query["sql"], cursor.fetchone()[0][0]["Plan"]])
    print(json.dumps({"url": url, "status": answer.status_code, "plans": plans}))
"""

FILL = """
INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers, last_error)
SELECT gen_random_uuid(), '/topic/load.' || n % 7, jsonb_build_object('n', n, 'text', repeat('x', 300)),
       now() - n * interval '3 seconds', now(), 0,
       CASE WHEN n % 500 = 1 THEN -1 WHEN n < 900 THEN 1 ELSE 2 END, '{"dop-msg-id": "x"}',
       CASE WHEN n % 500 = 1 THEN 'the broker said no' END
FROM generate_series(1, %(rows)s) AS n;
INSERT INTO received (id, msg_id, consumer, body, headers, added, expires_at, retry, status)
SELECT gen_random_uuid(), gen_random_uuid()::text, 'billing', '{}', '{"destination": "/topic/load"}',
       now() - n * interval '3 seconds', now(), 0, 2
FROM generate_series(1, %(rows)s) AS n;
ANALYZE published;
ANALYZE received;
"""


@pytest.fixture(scope="module")
def large(
    postgres: Postgres, rabbitmq: RabbitMQ, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project with many rows, of which few wait or failed."""
    name = f"commands_{uuid.uuid4().hex[:12]}"
    postgres.psql(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"')
    project = Project(Database(postgres, name), rabbitmq, tmp_path_factory.mktemp("large"))
    for statement in FILL.split(";\n"):
        if statement.strip():
            project.database.rows(statement.replace("%(rows)s", str(ROWS)).replace("%", "%%"))
    yield project
    postgres.drop_database(name)


def test_no_page_of_the_admin_reads_a_whole_table(large: Project) -> None:
    row_id, msg_id = large.database.rows(
        "SELECT (SELECT id::text FROM published LIMIT 1), (SELECT msg_id FROM received LIMIT 1)"
    )[0]
    outbox, inbox = "/admin/django_outbox_pattern/published/", "/admin/django_outbox_pattern/received/"
    urls = [
        outbox,
        f"{outbox}?p=150",
        f"{outbox}?status__exact=-1",
        f"{outbox}?status__exact=1",
        f"{outbox}?status__exact=2",
        f"{outbox}?q={row_id}",
        f"{outbox}?q={row_id[:8]}",
        f"{outbox}?q=load.3",
        f"{outbox}?q=nowhere",
        f"{outbox}?destination=/topic/load.4",
        f"{outbox}?destination=/topic/nowhere",
        f"{outbox}?destination=/topic/load.4&status__exact=-1",
        f"{outbox}{row_id}/change/",
        inbox,
        f"{inbox}?p=150",
        f"{inbox}?q={msg_id}",
        f"{inbox}?q={msg_id[:8]}",
        f"{inbox}?q=nothing",
    ]
    visits = _visit(large, urls)
    assert [visit["status"] for visit in visits] == [200] * len(urls)
    for visit in visits:
        for sql, plan in visit["plans"]:
            assert _rows_read(plan) < MOST_ROWS_READ, f"{visit['url']}\n{sql}\n{json.dumps(plan, indent=1)}"


def test_the_commands_tell_of_a_large_table_without_counting_it(large: Project) -> None:
    document = json.loads(large.manage("outbox", "status", "--json").stdout)
    assert abs(document["estimated_rows"]["published"] - ROWS) < ROWS / 10
    assert abs(document["estimated_rows"]["received"] - ROWS) < ROWS / 10
    assert document["failed"] == ROWS // 500
    audited = large.manage("outbox", "audit", "--json", check=False)
    assert (audited.returncode, json.loads(audited.stdout)["failed"]["count"]) == (2, ROWS // 500)
    retried = json.loads(large.manage("outbox", "retry", "--error", "SAID no", "--json").stdout)
    assert retried["changed"] == ROWS // 500
    assert large.database.states().get(-1) is None
    purged = json.loads(large.manage("outbox", "purge", "--older-than", "5d", "--json").stdout)
    assert purged["published"]["removed"] == purged["published"]["found"] > 50_000
    # One more row in three seconds gets too old.
    again = json.loads(large.manage("outbox", "purge", "--older-than", "5d", "--dry-run", "--json").stdout)
    assert again["received"]["found"] < 100


def _rows_read(node: dict[str, Any]) -> float:
    """How many rows a plan's scans looked at, fitting or not; a bitmap's are counted where they are read."""
    own = 0.0
    if node["Node Type"].endswith("Scan") and node["Node Type"] != "Bitmap Index Scan":
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        own = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return own + sum(_rows_read(part) for part in node.get("Plans", ()))


def _visit(project: Project, urls: list[str]) -> list[dict[str, Any]]:
    code = VISIT.replace("sys.stdin.read()", repr(json.dumps(urls)))
    return [json.loads(line) for line in project.python(code).splitlines()]
