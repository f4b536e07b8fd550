"""W3C trace context from the code that enqueues to the callback, so that one trace shows the whole way of an event.

``headers.py`` asks ``outgoing()`` for each new message, the relay's transport makes a span for each batch, and the
processor wraps each callback in ``processing()``. Where OpenTelemetry's API is installed its current context is what is
carried; elsewhere the headers of the message at hand, or those given to ``carry()``, are passed on unchanged: without a
tracer there is no span of ours to name. ``TRACE_CONTEXT = False`` turns all of it off.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django_outbox import settings
from django_outbox.tracecontext import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    Processing = Callable[[Sequence[Mapping[str, Any]]], AbstractContextManager["ProcessSpan"]]

_NAME = "django_outbox"
_carried: ContextVar[Mapping[str, str] | None] = ContextVar("django_outbox_trace_context", default=None)


def outgoing() -> dict[str, str] | None:
    """Return the trace headers for a message that is written now, empty when there is nothing to continue.

    None where ``TRACE_CONTEXT`` is off.
    """
    if not settings.TRACE_CONTEXT:
        return None
    carried = dict(_carried.get() or {})
    otel = _otel()
    if otel is None or not otel.context.get_current():
        return carried
    headers: dict[str, str] = {}
    otel.propagator.inject(headers)
    # Where nothing is traced, what was given to carry() goes on. Never a mixture: a tracestate belongs to one trace.
    return well_formed(headers if "traceparent" in headers else {**carried, **headers})


@contextmanager
def carry(headers: Mapping[str, Any]) -> Iterator[None]:
    """Let the messages written within the block continue the trace of these headers, such as those of a request.

    Names are in lower case. What is malformed is ignored. Code that is traced by OpenTelemetry needs no such call.
    """
    token = _carried.set(well_formed(headers))
    try:
        yield
    finally:
        _carried.reset(token)


def processing(
    messages: Sequence[Mapping[str, Any]], destination: str, queue: str
) -> AbstractContextManager[ProcessSpan]:
    """Make the context of the messages' headers the current one while their callback runs.

    With OpenTelemetry a span of the kind "consumer" is current: the child of the one message's span, or linked to those
    of several. Where no tracer is configured there is no span, and the one message's context goes on as it is.
    """
    return processing_in(destination, queue)(messages)


def processing_in(destination: str, queue: str) -> Processing:
    """Return ``processing`` for messages of one subscription. Keep it no longer than for a group: tracers may come."""
    is_on = settings.TRACE_CONTEXT
    otel = _otel() if is_on else None
    tracer = None if otel is None else otel.tracer()

    def process(messages: Sequence[Mapping[str, Any]]) -> AbstractContextManager[ProcessSpan]:
        if not messages or not is_on:
            return nullcontext(_NO_SPAN)
        if tracer is not None:
            return _traced(otel, tracer, messages, destination, queue)
        return _Continued(otel, well_formed(messages[0]) if len(messages) == 1 else {})

    return process


@contextmanager
def _traced(
    otel: Any, tracer: Any, messages: Sequence[Mapping[str, Any]], destination: str, queue: str
) -> Iterator[ProcessSpan]:
    alone = messages[0] if len(messages) == 1 else {}
    with carry(alone), _process_span(otel, tracer, messages, destination, queue) as span:
        yield ProcessSpan(span)


class _Continued:
    """The context of a message is the current one within the block: all there is to do where nobody makes spans."""

    def __init__(self, otel: Any, headers: dict[str, str]) -> None:
        self._otel = otel
        self._headers = headers

    def __enter__(self) -> ProcessSpan:
        otel = self._otel
        self._token = _carried.set(self._headers)
        # A worker's own context is empty, and so is that of most messages: then there is nothing to change.
        is_new = otel is not None and (self._headers or otel.context.get_current())
        self._attached = otel.context.attach(otel.propagator.extract(self._headers)) if is_new else None
        return _NO_SPAN

    def __exit__(self, *_error: object) -> None:
        if self._attached is not None:
            self._otel.context.detach(self._attached)
        _carried.reset(self._token)


@contextmanager
def sending(messages: Sequence[Mapping[str, Any]], destinations: set[str], host: str) -> Iterator[Any]:
    """Make a span for a batch on its way to the broker, linked to each message's own context; yields it or None."""
    otel = _otel() if settings.TRACE_CONTEXT and messages else None
    tracer = None if otel is None else otel.tracer()
    if otel is None or tracer is None:
        yield None
        return
    destination = next(iter(destinations)) if len(destinations) == 1 else None
    address, _, port = host.rpartition(":")
    attributes = {
        **_about("send", destination),
        "messaging.batch.message_count": len(messages),
        "server.address": address or host,
        **({"server.port": int(port)} if port.isdigit() else {}),
    }
    name = f"send {destination}" if destination else "send"
    with tracer.start_as_current_span(
        name, kind=otel.SpanKind.CLIENT, attributes=attributes, links=_links(otel, messages)
    ) as span:
        yield span


class ProcessSpan:
    """The span around a callback, or nothing where nobody traces."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def ended(self, outcome: str, *, failed: bool) -> None:
        """Note how it ended."""
        if self._span is not None:
            self._span.set_attribute("outbox.outcome", outcome)
            if failed:
                otel = _otel()
                self._span.set_status(otel.StatusCode.ERROR, outcome)
                self._span.set_attribute("error.type", outcome)


_NO_SPAN = ProcessSpan(None)


@contextmanager
def _process_span(
    otel: Any, tracer: Any, messages: Sequence[Mapping[str, Any]], destination: str, queue: str
) -> Iterator[Any]:
    alone = len(messages) == 1
    parent = otel.propagator.extract(well_formed(messages[0])) if alone else None
    attributes = {
        **_about("process", destination),
        "messaging.destination.subscription.name": queue,
        "messaging.consumer.group.name": queue,
    }
    if alone:
        ids = {
            "messaging.message.id": messages[0].get("dop-msg-id"),
            "messaging.message.conversation_id": messages[0].get("dop-correlation-id"),
        }
        attributes |= {name: str(value) for name, value in ids.items() if value}
    else:
        attributes["messaging.batch.message_count"] = len(messages)
    # The whole context is attached, not only its span: baggage comes with it.
    token = otel.context.attach(parent) if parent is not None else None
    try:
        with tracer.start_as_current_span(
            f"process {destination}",
            kind=otel.SpanKind.CONSUMER,
            attributes=attributes,
            links=[] if alone else _links(otel, messages),
        ) as span:
            yield span
    finally:
        if token is not None:
            otel.context.detach(token)


def _about(operation: str, destination: str | None) -> dict[str, Any]:
    """Return the attributes of the semantic conventions for messaging."""
    named = {} if destination is None else {"messaging.destination.name": destination}
    return {
        "messaging.system": "stomp",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        **named,
    }


def _links(otel: Any, messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    contexts = (otel.propagator.extract(well_formed(headers), otel.context.Context()) for headers in messages)
    spans = (otel.trace.get_current_span(context).get_span_context() for context in contexts)
    # Messages of one transaction share their context.
    unique = {(span.trace_id, span.span_id): span for span in spans if span.is_valid}
    return [otel.trace.Link(span) for span in unique.values()]


@cache
def _otel() -> Any:
    """Return what is used of OpenTelemetry's API, None where it is not installed."""
    try:
        context, trace = import_module("opentelemetry.context"), import_module("opentelemetry.trace")
        composite = import_module("opentelemetry.propagators.composite")
        baggage = import_module("opentelemetry.baggage.propagation")
        tracecontext = import_module("opentelemetry.trace.propagation.tracecontext")
    except ImportError:
        return None
    # Not the process's own propagator: what is on the wire must not depend on who runs.
    propagator = composite.CompositePropagator(
        [tracecontext.TraceContextTextMapPropagator(), baggage.W3CBaggagePropagator()]
    )

    def tracer() -> Any:
        """Return what makes spans, None where none is configured and they would come to nothing."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return None
        found = trace.get_tracer(_NAME)
        return None if isinstance(found, trace.NoOpTracer) else found

    return SimpleNamespace(
        context=context,
        trace=trace,
        propagator=propagator,
        SpanKind=trace.SpanKind,
        StatusCode=trace.StatusCode,
        tracer=tracer,
    )
