"""``bulk_create`` of many rows on PostgreSQL: by COPY, with the same rows and the same errors as any other way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project

ROWS = r"""
import json
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_outbox.models import Published
BODY = {"text": 'a "quoted" % \\ \\N word,\n\r\tä\U0001f600', "deep": [1, 2.5, None, {"x": True}]}
def rows(count, **given):
    return [Published(**{"destination": "/topic/%s\t\\x", "body": BODY, "headers": {"tenant": 'a"\\b'},
                         "version": "v1", "key": "k\n" if n % 2 else None, **given}) for n in range(count)]
def kinds(work):
    with CaptureQueriesContext(connection) as queries:
        work()
    return [query["sql"].split()[0] for query in queries]
"""
SAME = """
with connection.cursor() as cursor:
    cursor.execute("SET timezone = 'Asia/Tokyo'")
written = {}
written["copied"] = kinds(lambda: Published.objects.bulk_create(rows(60)))
written["inserted"] = kinds(lambda: Published.objects.bulk_create(rows(2)))
written["by Django"] = kinds(lambda: Published.objects.bulk_create(rows(2), batch_size=10))
found = list(Published.objects.order_by("added").values())
apart = ("id", "added", "expires_at", "headers")
print(json.dumps({
    "statements": written,
    "shapes": len({json.dumps({n: v for n, v in row.items() if n not in apart}) for row in found}),
    "same": all(row["body"] == BODY and row["headers"]["tenant"] == 'a"\\\\b' for row in found),
    "ids": all(row["headers"]["dop-msg-id"] == str(row["id"]) for row in found),
    "in order": [row["id"] for row in found] == sorted(row["id"] for row in found),
    "a day": all(86000 < (row["expires_at"] - row["added"]).total_seconds() < 87000 for row in found),
}))
"""
ERRORS = """
there, = Published.objects.bulk_create(rows(1))
told = []
for bad in ({"id": there.id}, {"expires_at": None}):
    try:
        Published.objects.bulk_create([*rows(60), *rows(1, **bad)])
    except IntegrityError as error:
        told.append(type(error.__cause__).__name__)
kept = rows(60)
try:
    with transaction.atomic():
        Published.objects.bulk_create(kept)
        raise KeyError
except KeyError:
    pass
print(json.dumps({"told": told, "left": Published.objects.count()}))
"""
WATCHED = """
seen = []
def watch(execute, sql, params, many, context):
    seen.append(sql.split()[0])
    return execute(sql, params, many, context)
with connection.execute_wrapper(watch):
    Published.objects.bulk_create(rows(60))
print(json.dumps(seen))
"""


def test_copied_rows_are_those_that_django_inserts(project: Project) -> None:
    found = json.loads(project.python(ROWS + SAME, WAKE_BY_NOTIFY=False).splitlines()[-1])
    assert found.pop("statements") == {
        "copied": ["BEGIN", "COPY", "COMMIT"],
        "inserted": ["BEGIN", "INSERT", "COMMIT"],
        "by Django": ["BEGIN", "INSERT", "COMMIT"],
    }
    # Those with a key and those without.
    assert found.pop("shapes") == 2
    assert found == dict.fromkeys(found, True)


def test_a_copy_that_fails_leaves_nothing_and_tells_as_django_does(project: Project) -> None:
    found = json.loads(project.python(ROWS + ERRORS).splitlines()[-1])
    assert found == {"told": ["UniqueViolation", "NotNullViolation"], "left": 1}


def test_who_watches_statements_sees_a_copy(project: Project) -> None:
    assert "COPY" in json.loads(project.python(ROWS + WATCHED).splitlines()[-1])
