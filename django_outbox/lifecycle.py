"""How a worker is asked to stop: one object for both commands.

``publish`` and ``subscribe`` enter a ``StopSignal``, hand it to their loop, and the loop asks ``is_set()`` or sleeps in
``wait()``. The first SIGTERM, SIGINT or SIGQUIT asks for a drain; the second ends the process at once with exit code 1.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

EXIT_ASKED_TO_STOP = 0
EXIT_FORCED = 1
EXIT_GAVE_UP = 2

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))


class StopSignal:
    """Turn the process's stop signals into something that a loop can wait for.

    A context manager: handlers are installed on entering and put back on leaving. Python allows that in the main thread
    only; elsewhere nothing is installed and ``set()`` is the way to stop.
    """

    def __init__(self) -> None:
        self._asked = False
        self._event = threading.Event()
        self._previous: dict[int, Any] = {}
        self.signal_name: str | None = None

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def is_set(self) -> bool:
        """Tell whether the worker was asked to stop."""
        return self._asked

    def set(self) -> None:
        """Ask for the stop, as the first signal does; more calls change nothing."""
        self._asked = True
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``, until the stop is asked for or until a nudge; tell whether it was a stop."""
        if not self.is_set():
            self._event.wait(max(0.0, seconds))
            # A nudge is used up by this. A request to stop is not: others may be about to sleep.
            self._event.clear()
            if self.is_set():
                self._event.set()
        return self.is_set()

    def nudge(self) -> None:
        """End the sleep that somebody is in, or else the next one, without asking for a stop."""
        self._event.set()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._asked:
            # Neither logging nor buffered output may be entered from a handler: they may be what it interrupted.
            os.write(2, f"{name} again: exiting at once.\n".encode())
            os._exit(EXIT_FORCED)
        self._asked = True
        self.signal_name = name
        # The interrupted code may hold the event's own lock, so another thread has to set it.
        _thread.start_new_thread(self._event.set, ())
