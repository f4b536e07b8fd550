"""What the doctor makes of the answers of an API server."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api.resource import PUBLISHER
from outbox_operator.doctor.cluster import check_lease, check_others, check_server, schema_differences
from outbox_operator.doctor.findings import Finding, as_json, as_table, exit_code
from outbox_operator.doctor.rights import check_rights
from outbox_operator.kube import Answer
from outbox_operator.rights import LEASE_RIGHTS, RIGHTS
from outbox_operator.schema.crds import openapi_schema
from outbox_operator.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Server:
    """Answers `ask`."""

    def __init__(self, answer: Callable[[str, Any], Answer]) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        self.asked.append(body)
        return self.answer(path, body)


def reviewing(allowed: Callable[[dict[str, str]], bool]) -> Any:
    def answer(_: str, body: Any) -> Answer:
        return Answer(201, {}, {"status": {"allowed": allowed(body["spec"]["resourceAttributes"])}})

    return Server(answer)


def verdicts(findings: list[Finding]) -> list[str]:
    return [finding.verdict for finding in findings]


async def test_every_right_is_asked_for_in_every_watched_namespace() -> None:
    server = reviewing(lambda _: True)
    settings = load_settings({"OUTBOX_OPERATOR_WATCH_NAMESPACES": "shop,billing"})
    found = await check_rights(server, settings, frozenset())
    assert verdicts(found) == ["ok", "ok", "ok"]
    asked = [body["spec"]["resourceAttributes"] for body in server.asked]
    for namespace in ("shop", "billing"):
        verbs = [item["verb"] for item in asked if item.get("namespace") == namespace]
        assert len(verbs) == sum(len(right.verbs) for right in RIGHTS if not right.optional_api)
    on_leases = [item for item in asked if item["resource"] == "leases"]
    assert len(on_leases) == sum(len(right.verbs) for right in LEASE_RIGHTS)


async def test_rights_for_the_whole_cluster_are_asked_for_without_a_namespace() -> None:
    server = reviewing(lambda _: True)
    await check_rights(server, load_settings({"OUTBOX_OPERATOR_LEADER_ELECTION": "false"}), frozenset())
    assert all("namespace" not in body["spec"]["resourceAttributes"] for body in server.asked)


async def test_a_missing_right_is_a_failure_that_names_it_and_what_it_is_for() -> None:
    server = reviewing(lambda item: (item["resource"], item["verb"]) != ("secrets", "get"))
    found = await check_rights(server, load_settings({}), frozenset())
    assert verdicts(found) == ["failure", "ok"]
    assert "are missing: get secrets" in found[0].detail
    assert "cannot see that Secrets exist and when they change" in found[0].advice
    assert exit_code(found) == 1


@pytest.mark.parametrize(("version", "verdict"), [("v1.35.0", "ok"), ("v1.30.9+k3s1", "warning"), ("odd", "warning")])
def test_an_old_api_server_is_a_warning(version: str, verdict: str) -> None:
    answer = Answer(200, {"Date": format_datetime(datetime.now(UTC), usegmt=True)}, {"gitVersion": version})
    assert verdicts([*check_server(answer)]) == [verdict, "ok"]


@pytest.mark.parametrize(("ahead", "words"), [(90, "90 s behind the API server's"), (-90, "90 s ahead of the API")])
def test_a_clock_that_goes_wrong_is_a_warning(ahead: int, words: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    clock = [*check_server(Answer(200, {"Date": date}, {"gitVersion": "v1.35.0"}))][1]
    assert clock.verdict == "warning"
    # The header has whole seconds.
    assert words.replace("90", "") in clock.detail.replace("90", "").replace("89", "").replace("91", "")


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (Answer(404, {}, {}), "warning", "does not exist"),
        (Answer(403, {}, {}), "failure", "cannot be read (403)"),
        (Answer(200, {}, {"spec": {"holderIdentity": ""}}), "warning", "held by nobody"),
        (
            Answer(200, {}, {"spec": {"holderIdentity": "a", "renewTime": "2026-01-02T03:04:03.000000Z"}}),
            "ok",
            "held by a, renewed 2 s ago",
        ),
        (
            Answer(200, {}, {"spec": {"holderIdentity": "a", "renewTime": "2026-01-02T03:00:05.000000Z"}}),
            "failure",
            "renewed 240 s ago",
        ),
    ],
    ids=["absent", "forbidden", "given up", "alive", "stale"],
)
async def test_the_lease_tells_whether_an_operator_works(answer: Answer, verdict: str, words: str) -> None:
    server: Any = Server(lambda *_: answer)
    found = await check_lease(server, load_settings({"OUTBOX_OPERATOR_NAMESPACE": "outbox"}), NOW)
    assert found.verdict == verdict
    assert words in found.detail


def test_apis_of_others_may_be_absent() -> None:
    assert verdicts([*check_others(frozenset({"keda.sh"}))]) == ["ok", "info"]


def test_a_crd_of_another_version_is_told_by_its_fields() -> None:
    ours = openapi_schema(PUBLISHER)
    served = copy.deepcopy(dict(ours))
    assert [*schema_differences(ours, served)] == []
    fields = served["properties"]["spec"]["properties"]
    del fields["batchSize"]
    fields["newField"] = {"type": "string"}
    fields["state"]["enum"] = ["Running"]
    fields["image"]["description"] = "other words"
    fields["env"]["items"]["properties"]["value"]["maxLength"] = 5
    assert [*schema_differences(ours, served)] == [
        "spec.batchSize is missing",
        "spec.state differs",
        "spec.env[].value differs",
        "spec.newField is not known here",
    ]


FOUND = [
    Finding("API server", "ok", "version v1.35.0"),
    Finding("clock", "warning", "off", "Set it."),
    Finding("rights", "failure", "1 of 2 are missing", "Grant it."),
]


def test_the_table_ends_with_the_number_of_failures() -> None:
    assert as_table(FOUND).splitlines() == [
        "ok       API server  version v1.35.0",
        "warning  clock       off",
        "                     -> Set it.",
        "FAILURE  rights      1 of 2 are missing",
        "                     -> Grant it.",
        "1 failure, 1 warning",
    ]


def test_json_tells_whether_all_is_well() -> None:
    report = json.loads(as_json("1.0", FOUND))
    assert (report["ok"], report["version"], len(report["findings"])) == (False, "1.0", 3)
    assert json.loads(as_json("1.0", FOUND[:2]))["ok"] is True
