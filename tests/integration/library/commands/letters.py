"""Dead letters for these tests, as subscribers leave them and as django-outbox-pattern does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import stomp

from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.integration.library.publish.publisher import Project
    from tests.stomp_queue import Server

# For a slow machine: the commands stop looking when the broker is silent for so long, or with the last one asked for.
WAIT = "--wait=20s"


@dataclass
class DeadLetters:
    """The dead letters of one queue on one broker, and the command that looks after them."""

    project: Project
    server: Server
    queue: str

    def leave(self, count: int, first: int = 0, **headers: str) -> list[str]:
        """Put letters with a story into the dead letter queue; return their ids, in order."""
        story = {
            "dop-error": "ValueError: no such order",
            "dop-attempts": "5",
            "dop-failed-at": "2026-01-02T03:04:05.678+00:00",
            "dop-queue": self.queue,
            "dop-destination": f"/topic/{self.queue}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        ids = [f"{self.queue}-{number}" for number in range(first, first + count)]
        # What is declared already, with whatever arguments, is addressed differently on RabbitMQ.
        folder = "/amq/queue" if self.server is self.project.broker else "/queue"
        self.send(f"{folder}/DLQ.{self.queue}", dict.fromkeys(ids, story))
        return ids

    def send(self, destination: str, messages: dict[str, dict[str, str]]) -> None:
        """Publish messages by their ids and headers, and wait for the broker's confirm of the last."""
        connection = stomp.StompConnection12([(self.server.host, self.server.stomp_port)], vhost=self.server.vhost)
        waiting = stomp.listener.WaitingListener("last")
        connection.set_listener("waiting", waiting)
        connection.connect(self.server.username, self.server.passcode, wait=True)
        for number, (message_id, headers) in enumerate(messages.items(), 1):
            receipt = "last" if number == len(messages) else None
            body = json.dumps({"key": message_id})
            sent = {"dop-msg-id": message_id, "persistent": "true", **headers}
            connection.send(destination, body, headers=sent, receipt=receipt)
        waiting.wait_on_receipt()
        connection.disconnect()

    def receive(self, destination: str, count: int) -> list[str]:
        """Take so many messages, and return their ids in order."""
        taken: list[str] = []

        class Taker(stomp.ConnectionListener):  # type: ignore[misc]
            def on_message(self, frame: Any) -> None:
                taken.append(frame.headers["dop-msg-id"])

        connection = stomp.StompConnection12([(self.server.host, self.server.stomp_port)], vhost=self.server.vhost)
        connection.set_listener("taker", Taker())
        connection.connect(self.server.username, self.server.passcode, wait=True)
        connection.subscribe(destination, "taker", ack="auto")
        wait_until(f"{count} messages", lambda: len(taken) >= count, seconds=60, state=lambda: str(taken))
        connection.disconnect()
        return taken

    def run(self, deed: str, limit: int, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run ``outbox dlq`` for so many letters, and return the document it prints."""
        done = self.process(deed, f"--limit={limit}", WAIT, "--json", *arguments)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def process(self, deed: str, *arguments: str, queue: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``outbox dlq`` to its end, however that is."""
        broker = {"DEFAULT_STOMP_HOST_AND_PORTS": [[self.server.host, self.server.stomp_port]]}
        return self.project.manage("outbox", "dlq", deed, queue or self.queue, *arguments, check=False, **broker)

    def ids(self, count: int) -> list[str]:
        """The ids that ``list`` shows of so many letters, in its order."""
        return [letter["id"] for letter in self.run("list", count, code=2)["letters"]]


def wait_for_depth(project: Project, queue: str, depth: int) -> None:
    """Wait until so many messages lie in a queue of RabbitMQ, held by nobody."""
    wait_until(
        f"{depth} messages in {queue}",
        lambda: project.broker.queue_depth(queue) == depth,
        seconds=60,
        state=lambda: f"there are {project.broker.queue_depth(queue)}",
    )
