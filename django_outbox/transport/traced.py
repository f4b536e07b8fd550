"""A transport that makes a trace span for each batch; all else is the transport's it wraps.

The publisher's transport is wrapped once, where it is made. Without OpenTelemetry it costs one look at a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_outbox.transport.base import Outgoing, Patience, SendReport, Transport


class TracedTransport:
    """Sends through ``transport`` within a span."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def host(self) -> str:
        """The broker connected to."""
        return self._transport.host

    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as is known."""
        return self._transport.is_connected()

    def connect(self) -> None:
        """Open the connection. Raises ``BrokerUnavailable`` or ``BrokerRefused``."""
        self._transport.connect()

    def send(
        self, messages: Sequence[Outgoing], patience: Patience, meanwhile: Callable[[], None] | None = None
    ) -> SendReport:
        """Send all, and note on the span how many were confirmed and refused."""
        destinations = {message.destination for message in messages}
        with tracing.sending([message.headers for message in messages], destinations, self.host) as span:
            report = self._transport.send(messages, patience, meanwhile)
            if span is not None:
                span.set_attribute("outbox.confirmed", len(report.confirmed))
                span.set_attribute("outbox.refused", len(report.refused))
                if report.unsettled is not None:
                    span.set_attribute("error.type", report.unsettled.value)
            return report

    def is_answered(self, patience: Patience) -> bool:
        """Ask the broker what costs it nothing, and tell whether it answers."""
        return self._transport.is_answered(patience)

    def close(self) -> None:
        """Close the connection if there is one; never raises."""
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
