"""Debian's Prometheus on this machine, scraping pods by their addresses; the observability tests start one each."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.rig.process import Daemon, find_program, free_port
from tests.rig.waiting import tail
from tools.dashboards import scrape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCRAPE_INTERVAL = "5s"


class Prometheus:
    """One server with the jobs and rules that the chart's objects ask for; its data goes away with `directory`."""

    def __init__(self, directory: Path, manifests: Iterable[Mapping[str, Any]]) -> None:
        objects = list(manifests)
        self._targets = directory / "targets.json"
        rules, configuration = directory / "rules.yaml", directory / "prometheus.yaml"
        rules.write_text(scrape.rules(objects))
        configuration.write_text(scrape.configuration(objects, self._targets, SCRAPE_INTERVAL, [rules]))
        self._address = f"127.0.0.1:{free_port()}"
        program = find_program("prometheus", package="prometheus")
        options = {
            "config.file": configuration,
            "storage.tsdb.path": directory / "data",
            "web.listen-address": self._address,
        }
        argv = [str(program), *(f"--{name}={value}" for name, value in options.items())]
        self._server = Daemon("prometheus", argv, directory)

    def show_pods(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Tell which pods there are; the server reads it again within seconds."""
        fresh = self._targets.with_suffix(".new")
        fresh.write_text(scrape.targets(pods))
        fresh.rename(self._targets)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._server.start()
        self._server.wait_ready("answers", lambda: self._get("-/ready") is not None, seconds=60)

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def query(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of every series that an expression has now; a text with spaces is fine."""
        answer = json.loads(self._get(f"api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        result = answer["data"]["result"]
        return [series["metric"] for series in result]

    def evaluated_rules(self) -> list[dict[str, Any]]:
        """Return all rules once each was evaluated, before that none."""
        groups = json.loads(self._get("api/v1/rules"))["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    def state(self) -> str:
        """Return what it scrapes and its log, as evidence."""
        targets = json.loads(self._get("api/v1/targets"))["data"]["activeTargets"]
        lines = [f"{target['scrapeUrl']} {target['health']} {target['lastError']}" for target in targets]
        return "\n".join([*lines, tail(self._server.log)])

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self._address}/{path}", timeout=10) as answer:
            return str(answer.read().decode())
