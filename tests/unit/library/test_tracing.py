"""W3C trace context reaches the callback and what it publishes, with OpenTelemetry and without; nonsense is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from django_outbox import enqueue, tracing
from django_outbox.groups import processor_of
from django_outbox.models import Published
from django_outbox.processing import Job
from django_outbox.subscription import Subscription
from django_outbox.testing import MemoryBroker, deliver, make_payload, run_relay
from django_outbox.tracecontext import well_formed, without_malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.payloads import Payload

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
GIVEN = {"traceparent": TRACEPARENT, "tracestate": "vendor=1,a@b=x", "baggage": "tenant=7;p=1,user=ada%20l"}


@pytest.fixture
def without_otel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_otel", lambda: None)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What OpenTelemetry's SDK exports."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


def _republish(payload: Payload) -> None:
    enqueue("/topic/answers", {})
    payload.save()


def _span_named(spans: InMemorySpanExporter, name: str) -> Any:
    return next(span for span in spans.get_finished_spans() if span.name == name)


def test_what_is_well_formed_stays() -> None:
    assert well_formed(GIVEN) == GIVEN
    assert well_formed({"traceparent": "01-" + TRACEPARENT[3:] + "-more"})


@pytest.mark.parametrize(
    "value",
    [
        *("", "00", TRACEPARENT.upper(), f"ff{TRACEPARENT[2:]}", f"{TRACEPARENT}-more", f"{TRACEPARENT}\n", 7, None),
        *(f"00-{'0' * 32}-{SPAN_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01", f" {TRACEPARENT}"),
    ],
)
def test_a_malformed_traceparent_is_dropped_and_its_tracestate_with_it(value: Any) -> None:
    assert well_formed({**GIVEN, "traceparent": value}) == {"baggage": GIVEN["baggage"]}


@pytest.mark.parametrize("value", ["", ",", "a", "a=", "A=1", "a=1,a=2", "a=\u00e9", "a=1\nb=2", "a=" + "x" * 600])
def test_a_malformed_tracestate_is_dropped_alone(value: str) -> None:
    assert well_formed({"traceparent": TRACEPARENT, "tracestate": value}) == {"traceparent": TRACEPARENT}


@pytest.mark.parametrize("value", ["", "a", "=1", "a=b c", "a=1,,b=2", "a=\u00e9", "a=1\n", "a=" + "x" * 9000])
def test_malformed_baggage_is_dropped_alone(value: str) -> None:
    assert well_formed({"traceparent": TRACEPARENT, "baggage": value}) == {"traceparent": TRACEPARENT}


@given(st.dictionaries(st.sampled_from([*GIVEN, "x"]), st.text() | st.binary() | st.integers() | st.none()))
def test_no_value_whatever_is_an_error(headers: dict[str, Any]) -> None:
    good = well_formed(headers)
    assert good.items() <= headers.items()
    assert without_malformed(headers).get("x") == headers.get("x")


@pytest.mark.django_db
@pytest.mark.usefixtures("without_otel")
class TestWithoutOpenTelemetry:
    """Headers are carried along as they are."""

    def test_a_message_written_in_a_callback_continues_the_trace_and_the_correlation(self) -> None:
        broker = MemoryBroker(remembers=True)
        enqueue("/topic/questions", {}, headers={**GIVEN, "dop-correlation-id": "request-1"})
        deliver(_republish, "/topic/questions", broker=broker)
        answer = Published.objects.get(destination="/topic/answers").headers
        assert {name: answer[name] for name in GIVEN} == GIVEN
        assert answer["dop-correlation-id"] == "request-1"

    def test_headers_of_a_request_are_carried_within_a_block_only(self) -> None:
        with tracing.carry({**GIVEN, "tracestate": "!"}):
            inside = enqueue("/queue/x", {}).headers
        assert (inside["traceparent"], inside["baggage"]) == (TRACEPARENT, GIVEN["baggage"])
        assert "tracestate" not in inside
        assert "traceparent" not in enqueue("/queue/x", {}).headers

    def test_what_the_caller_gives_wins_as_a_whole(self) -> None:
        other = TRACEPARENT.replace("0af7", "1111")
        with tracing.carry(GIVEN):
            headers = enqueue("/queue/x", {}, headers={"traceparent": other, "dop-correlation-id": "mine"}).headers
        assert headers["traceparent"] == other
        assert "tracestate" not in headers
        assert headers["dop-correlation-id"] == "mine"

    def test_malformed_headers_of_the_caller_are_not_sent(self) -> None:
        headers = enqueue("/queue/x", {}, headers={"traceparent": "nonsense", "tracestate": "a=1", "n": 1}).headers
        assert headers["n"] == 1
        assert not headers.keys() & GIVEN.keys()

    @override_settings(DJANGO_OUTBOX_PATTERN={"TRACE_CONTEXT": False})
    def test_the_setting_leaves_headers_alone(self) -> None:
        with tracing.carry(GIVEN):
            assert "traceparent" not in enqueue("/queue/x", {}).headers
        assert enqueue("/queue/x", {}, headers={"traceparent": "mine"}).headers["traceparent"] == "mine"


@pytest.mark.django_db
class TestWithOpenTelemetry:
    """One trace from the code that enqueues to the callback; the relay's span is linked."""

    def test_the_current_span_is_the_parent_of_the_callbacks(self, spans: InMemorySpanExporter) -> None:
        tracer = trace.get_tracer("test")
        current: list[Any] = []

        def callback(payload: Payload) -> None:
            current.append((trace.get_current_span().get_span_context(), baggage.get_baggage("tenant")))
            payload.save()

        token = context.attach(baggage.set_baggage("tenant", "7"))
        with tracer.start_as_current_span("request") as request:
            enqueue("/topic/orders", {})
        context.detach(token)
        deliver(callback, "/topic/orders", "billing")
        span = _span_named(spans, "process /topic/orders")
        assert span.kind is SpanKind.CONSUMER
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.context.trace_id == request.get_span_context().trace_id
        assert span.attributes["messaging.destination.subscription.name"] == "billing"
        assert span.attributes["messaging.message.id"] == str(Published.objects.get().id)
        assert span.attributes["outbox.outcome"] == "ack"
        [(in_callback, tenant)] = current
        assert (in_callback.span_id, tenant) == (span.context.span_id, "7")

    def test_a_message_of_a_callback_is_the_callbacks_child(self, spans: InMemorySpanExporter) -> None:
        broker = MemoryBroker(remembers=True)
        enqueue("/topic/questions", {}, headers=GIVEN)
        deliver(_republish, "/topic/questions", broker=broker)
        deliver(lambda payload: payload.save(), "/topic/answers", broker=broker)
        first, second = (_span_named(spans, f"process /topic/{name}") for name in ("questions", "answers"))
        assert second.parent.span_id == first.context.span_id
        assert f"{second.context.trace_id:032x}" == TRACE_ID

    def test_the_batch_is_linked_to_each_trace_and_says_what_was_sent(self, spans: InMemorySpanExporter) -> None:
        for number in range(3):
            enqueue("/queue/x", number, headers={"traceparent": TRACEPARENT.replace("0af7", f"{number}af7")})
        run_relay()
        span = _span_named(spans, "send /queue/x")
        assert span.kind is SpanKind.CLIENT
        assert {f"{link.context.trace_id:032x}"[:4] for link in span.links} == {"0af7", "1af7", "2af7"}
        assert span.attributes["messaging.batch.message_count"] == 3
        assert span.attributes["outbox.confirmed"] == 3

    def test_a_failed_callback_is_an_error_of_its_span(self, spans: InMemorySpanExporter) -> None:
        def callback(_payload: Payload) -> None:
            raise ValueError("no")

        enqueue("/topic/orders", {})
        deliver(callback, "/topic/orders", raise_errors=False)
        span = _span_named(spans, "process /topic/orders")
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["outbox.outcome"] == "error"

    def test_several_messages_of_one_callback_are_linked(self, spans: InMemorySpanExporter) -> None:
        headers = [{"traceparent": TRACEPARENT}, {"traceparent": "nonsense"}, {}]
        with tracing.processing(headers, "/topic/orders", "billing") as span:
            span.ended("ack", failed=False)
        finished = _span_named(spans, "process /topic/orders")
        assert [f"{link.context.trace_id:032x}" for link in finished.links] == [TRACE_ID]
        assert finished.parent is None

    def test_each_message_of_a_group_has_a_span_in_a_trace_of_its_own(self, spans: InMemorySpanExporter) -> None:
        processor = processor_of(Subscription(_republish, "/topic/orders", "billing", group=10), lambda _seconds: False)
        contexts = [f"00-{number:032x}-{SPAN_ID}-01" for number in (7, 8)]
        processor.handle_many([Job.of("{}", {"dop-msg-id": value[:35], "traceparent": value}) for value in contexts])
        made = [span for span in spans.get_finished_spans() if span.name == "process /topic/orders"]
        assert [span.context.trace_id for span in made] == [7, 8]
        assert [row.headers["traceparent"][3:35] for row in Published.objects.order_by("added")] == [
            value[3:35] for value in contexts
        ]

    @pytest.mark.parametrize("value", ["nonsense", "00-", "\u00e9"])
    def test_a_malformed_context_of_a_foreign_message_starts_a_new_trace(
        self, spans: InMemorySpanExporter, value: str
    ) -> None:
        with tracing.processing([{"traceparent": value, "tracestate": value, "baggage": value}], "/topic/x", "q"):
            pass
        assert _span_named(spans, "process /topic/x").parent is None

    @override_settings(DJANGO_OUTBOX_PATTERN={"TRACE_CONTEXT": False})
    def test_the_setting_makes_no_spans(self, spans: InMemorySpanExporter) -> None:
        enqueue("/topic/orders", {})
        deliver(lambda payload: payload.save(), "/topic/orders")
        assert spans.get_finished_spans() == ()

    def test_without_an_sdk_the_context_goes_on_unchanged(self) -> None:
        with tracing.processing([GIVEN], "/topic/x", "q"):
            assert tracing.outgoing()["traceparent"] == TRACEPARENT
            assert f"{trace.get_current_span().get_span_context().trace_id:032x}" == TRACE_ID
            assert str(baggage.get_baggage("tenant")).startswith("7")
        assert baggage.get_baggage("tenant") is None

    def test_without_an_sdk_a_message_does_not_get_the_context_of_who_calls(self) -> None:
        token = context.attach(baggage.set_baggage("tenant", "8"))
        try:
            with tracing.carry(GIVEN), tracing.processing([{"dop-msg-id": "1"}], "/topic/x", "q"):
                assert tracing.outgoing() == {}
                assert baggage.get_baggage("tenant") is None
            assert baggage.get_baggage("tenant") == "8"
        finally:
            context.detach(token)

    def test_without_an_sdk_no_span_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def make(*_args: Any, **_kwargs: Any) -> None:
            raise AssertionError("a span was made that goes nowhere")

        monkeypatch.setattr(trace.ProxyTracer, "start_as_current_span", make)
        enqueue("/topic/orders", {}, headers=GIVEN)
        deliver(lambda payload: payload.save(), "/topic/orders")


@pytest.mark.django_db
def test_a_payload_for_a_test_may_carry_a_trace() -> None:
    assert make_payload({}, GIVEN).headers["traceparent"] == TRACEPARENT
