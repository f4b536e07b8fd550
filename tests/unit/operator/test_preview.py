"""`outbox-operator plan` from files alone."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from outbox_operator.__main__ import main
from outbox_operator.preview.outlook import Change, Outlook, as_text, exit_code
from tests.cluster.manifests import publisher, subscription, web

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Plan manifests, one file each; return exit code, output and errors."""

    def planned(*manifests: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        for number, manifest in enumerate(manifests):
            (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(manifest))
        code = main(["plan", "-f", str(tmp_path), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return planned


def objects(text: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(text) if item]


def test_the_objects_that_would_be_applied_are_printed_as_yaml(run: Run) -> None:
    code, output, _ = run(publisher("orders", replicas=2, envFrom=[{"secretRef": {"name": "env"}}]))
    assert code == 0
    assert [item["kind"] for item in objects(output)] == ["Deployment", "PodDisruptionBudget"]
    deployment = objects(output)[0]
    assert deployment["metadata"]["name"] == "orders-pub"
    # What only the cluster knows is not made up.
    assert "ownerReferences" not in deployment["metadata"]
    assert "djangooutbox.io/config" not in output


def test_json_carries_the_objects_too(run: Run) -> None:
    code, output, _ = run(publisher("orders"), subscription("billing"), options=("--output", "json"))
    report = json.loads(output)
    assert (code, report["exitCode"]) == (0, 0)
    assert [item["objects"][0]["metadata"]["name"] for item in report["resources"]] == ["orders-pub", "billing-sub"]


def test_a_resource_that_breaks_the_schema_is_named_with_the_words_of_the_api_server(run: Run) -> None:
    code, _, errors = run(publisher("orders", replcas=2, env=[{"value": "1"}]))
    assert code == 5
    assert 'unknown field "spec.replcas"' in errors
    assert "spec.env[0].name: Required value" in errors
    assert "0.yaml" in errors


def test_a_followed_deployment_is_taken_from_the_files(run: Run) -> None:
    code, output, _ = run(publisher("orders", workloadRef={"name": "shop"}), web("shop", "shop:9"))
    assert code == 0
    assert objects(output)[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:9"
    code, _, errors = run(publisher("orders", workloadRef={"name": "elsewhere"}))
    assert code == 5
    assert "Deployment elsewhere, which is in none of the files" in errors


def test_two_callbacks_on_one_queue_are_found(run: Run) -> None:
    code, _, errors = run(subscription("a"), subscription("b", callback="billing.callbacks.other"))
    assert code == 5
    assert "b (" in errors
    assert "QueueConflict" in errors


def test_access_to_the_node_is_found_and_can_be_allowed(run: Run) -> None:
    reaching = publisher("orders", template={"spec": {"hostNetwork": True}})
    assert run(reaching)[0] == 5
    assert run(reaching, options=("--host-access",))[0] == 0


def test_several_documents_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = yaml.safe_dump_all([publisher("a"), None, {"kind": "List", "items": [subscription("b")]}])
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["plan", "-f", "-", "-n", "shop"]) == 0
    found = objects(capsys.readouterr().out)
    assert [item["metadata"]["name"] for item in found] == ["a-pub", "b-sub"]
    assert {item["metadata"]["namespace"] for item in found} == {"shop"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "while parsing"),
        ("- 1", "is no Kubernetes object"),
        ("kind: Publisher", "has no metadata.name"),
        ("kind: Secret\nmetadata: {name: x}", "no Publisher and no Subscription"),
    ],
)
def test_a_file_that_holds_something_else_is_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert main(["plan", "-f", str(path)]) == 1
    assert words in capsys.readouterr().err


def test_a_file_that_is_missing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(tmp_path / "missing.yaml")]) == 1
    assert "missing.yaml" in capsys.readouterr().err


def test_the_exit_code_is_the_most_severe_outcome() -> None:
    keep, change = (Outlook("a", changes=(Change("Deployment", "a", action),)) for action in ("keep", "change"))
    roll, held = Outlook("b", roll="image changed"), Outlook("c", problem="SecretNotFound")
    unknown = Outlook("d", unknown="deployments are forbidden")
    combined = ([], [keep], [keep, change], [change, roll], [roll, held], [held, unknown])
    assert [exit_code(outlooks) for outlooks in combined] == [0, 0, 3, 4, 5, 1]


def test_the_text_says_what_rolls_and_why() -> None:
    change = Change("Deployment", "a-pub", "change", "image changed from 1 to 2")
    text = as_text([Outlook("Publisher shop/a", changes=(change,), roll="image changed from 1 to 2")])
    assert text.splitlines() == [
        "Publisher shop/a",
        "  change  Deployment a-pub: image changed from 1 to 2",
        "  ROLL    running workers are replaced: image changed from 1 to 2",
        "1 resources, 1 whose workers would be replaced, 0 refused or held",
    ]
