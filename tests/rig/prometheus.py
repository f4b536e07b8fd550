"""A real Prometheus on this machine that scrapes the cluster's pods as the chart's PodMonitors say.

What is scraped and how it is relabelled is made from the rendered chart (`tools.dashboards.scrape`), so the selectors,
relabelings and rules under test are the ones that users install. Debian's Prometheus has no discovery of Kubernetes
built in: a thread here writes the pods into a file that Prometheus watches.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.rig.paths import state_directory
from tests.rig.process import Daemon, find_program, free_port
from tests.rig.progress import say
from tests.rig.rundirs import run_directory
from tests.rig.waiting import RigError, RigTimeoutError, wait_until
from tests.rig.web import answers_ok
from tools.dashboards import scrape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from tests.rig.rig import Rig

_REFRESH_SECONDS = 2.0


class Prometheus:
    """Prometheus over the objects that `helm template` rendered; use as a context manager.

    `interval` is the time between two scrapes, and between two evaluations of the rules.
    """

    def __init__(self, rig: Rig, manifests: Iterable[Mapping[str, Any]], *, interval: str = "1s") -> None:
        self._rig, self._manifests, self._interval = rig, list(manifests), interval
        self.url = f"http://127.0.0.1:{free_port()}"
        self._stack = ExitStack()
        self._ended = threading.Event()

    def __enter__(self) -> Prometheus:
        with ExitStack() as stack:
            directory = stack.enter_context(run_directory(state_directory() / "prometheus")) / "prometheus"
            directory.mkdir()
            self._targets_file = directory / "targets.json"
            self._write_targets()
            daemon = self._daemon(directory)
            daemon.start()
            stack.callback(daemon.stop)
            daemon.wait_ready("ready", lambda: answers_ok(f"{self.url}/-/ready"), seconds=60)
            refresher = threading.Thread(target=self._refresh, name="prometheus-targets", daemon=True)
            refresher.start()
            stack.callback(refresher.join)
            stack.callback(self._ended.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _daemon(self, directory: Path) -> Daemon:
        rules, configuration = directory / "rules.yaml", directory / "prometheus.yaml"
        rules.write_text(scrape.rules(self._manifests))
        configuration.write_text(scrape.configuration(self._manifests, self._targets_file, self._interval, [rules]))
        options = {
            "config.file": str(configuration),
            "storage.tsdb.path": str(directory / "data"),
            "web.listen-address": self.url.removeprefix("http://"),
            "log.level": "warn",
        }
        program = str(find_program("prometheus", package="prometheus"))
        return Daemon("prometheus", [program, *(f"--{name}={value}" for name, value in options.items())], directory)

    def _write_targets(self) -> None:
        pods = json.loads(self._rig.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]
        text, fresh = scrape.targets(pods), self._targets_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self._targets_file)  # Prometheus must never read half a file

    def _refresh(self) -> None:
        while not self._ended.wait(_REFRESH_SECONDS):
            try:
                self._write_targets()
            except RigError as error:  # the API server may be down for a test; the pods of before are still right
                say(f"Prometheus keeps its targets: {str(error).splitlines()[0]}")

    # --- questions ------------------------------------------------------------------------------------------------

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` (its labels) and `value` ([time, "number"]).

        Raises RigError for an expression that Prometheus refuses.
        """
        answer = self._get("query", query=expression)
        if answer["resultType"] != "vector":
            return [{"metric": {}, "value": answer["result"]}]
        found: list[dict[str, Any]] = answer["result"]
        return found

    def wait_for_series(self, expression: str, *, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until a query gives at least one series; raises RigTimeoutError with the state of the targets."""
        return wait_until(
            f"series of {expression}", lambda: self.query(expression), seconds=seconds, state=self.state, every=0.5
        )

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped now: `scrapeUrl`, `health`, `lastError`, `labels` of each."""
        found: list[dict[str, Any]] = self._get("targets", state="active")["activeTargets"]
        return found

    def evaluated_rules(self) -> list[dict[str, Any]]:
        """All rules with their `name`, `state` and `alerts` once each was evaluated, before that none."""
        found = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    def state(self) -> str:
        """What is scraped and whether that works, as evidence."""
        try:
            lines = [f"  {t['health']:8}{t['scrapeUrl']} {t['labels']} {t['lastError']}" for t in self.targets()]
        except (RigError, RigTimeoutError, OSError) as error:
            return f"Prometheus does not answer: {error}"
        return "targets:\n" + ("\n".join(lines) or "  none: no pod matches the PodMonitors")

    def _get(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise RigError(f"Prometheus refused {parameters}: {error.read().decode(errors='replace')}") from error
