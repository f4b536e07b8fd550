"""Listeners as a project writes them, for DEFAULT_CONSUMER_LISTENER_CLASS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django_outbox.listeners import ConsumerListener


class NotingListener(ConsumerListener):
    """Note what was heard, then do as the base does."""

    def on_message(self, frame: Any) -> None:
        """Note the message's id."""
        with (Path(os.environ["TEST_FOLDER"]) / "heard").open("a") as notes:
            notes.write(f"{frame.headers['dop-msg-id']} {self.instance.queue_name}\n")
        super().on_message(frame)


class BrokenListener(ConsumerListener):
    """Has a bug."""

    def on_message(self, frame: Any) -> None:
        """Fail."""
        raise RuntimeError("a bug in the project's listener")


class FormerListener(ConsumerListener):
    """Reconnects by itself, as listeners for the former library do."""

    def on_disconnected(self) -> None:
        """Start again what has stopped."""
        self.instance.start(self.instance.callback, self.instance.destination, self.instance.queue_name)
