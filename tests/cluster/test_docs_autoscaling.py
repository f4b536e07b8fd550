"""What the page about autoscaling shows people to apply is what the API server takes, and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from outbox_operator.api import conditions
from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME
from outbox_operator.autoscaling import autoscaling_ready

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "autoscaling.md").read_text("utf-8")
SHOWN = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_api_server_takes_the_resources_that_the_page_shows(own: Cluster) -> None:
    """Strictly: a field that does not exist would be refused."""
    for shown in SHOWN:
        number = len(list(yaml.safe_load_all(shown)))
        answer = own.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=shown)
        assert answer.count("created (server dry run)") == number
    assert len(SHOWN) == 3


def test_the_page_explains_every_reason_of_the_condition() -> None:
    told = set(re.findall(r"^\| \w+ \| `(\w+)` \|", PAGE, re.MULTILINE))
    source = Path(autoscaling_ready.__code__.co_filename).read_text("utf-8")
    used = {getattr(conditions, name) for name in re.findall(r"api\.([A-Z_]+)", source)}
    from_elsewhere = {
        conditions.SECRET_NOT_FOUND,
        conditions.NAME_CONFLICT,
        conditions.TERMINATING_PREDECESSOR,
        conditions.INVALID_SPEC,
    }
    assert told == (used | from_elsewhere) - {conditions.AUTOSCALING_READY}


def test_every_secret_that_the_page_shows_has_the_keys_that_its_resources_name() -> None:
    documents = [document for shown in SHOWN for document in yaml.safe_load_all(shown)]
    keys = {item["metadata"]["name"]: set(item["stringData"]) for item in documents if item["kind"] == "Secret"}
    for item in documents:
        if item["kind"] != "Secret":
            whole = {**item, "metadata": {**item["metadata"], "namespace": "shop", "uid": "u", "generation": 1}}
            autoscaling = parse(KIND_BY_NAME[item["kind"]], whole).worker.autoscaling
            assert autoscaling is not None
            assert all(secret.key in keys[secret.secret] for secret in autoscaling.secrets)
