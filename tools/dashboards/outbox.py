"""The dashboard "Outbox": is everything well, and if not, which worker and since when.

The overview answers for all namespaces at a glance; the rows below it are for the publishers and subscriptions that the
variables at the top select. The gauges that come from the outbox table are taken with ``max``, since every replica of a
publisher reports the same table. Where an event that has not happened yet leaves no series, the query says 0 only on
the word of a series that proves that someone is counting.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from tools.dashboards.panels import DATASOURCE, Panel, Query, Row, graph, listing, number, place

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT = "charts/outbox-operator/dashboards/outbox.json"

NAMESPACE = 'namespace=~"$namespace"'
PUBLISHER = f'{NAMESPACE}, publisher=~"$publisher"'
SUBSCRIPTION = f'{NAMESPACE}, subscription=~"$subscription"'
# A worker has one of the two labels; the empty alternative keeps the other kind when only one variable is narrowed.
WORKER = f'{NAMESPACE}, publisher=~"$publisher|", subscription=~"$subscription|"'

TABLE = "max by (namespace, publisher, destination)"
OF_PUBLISHER = "sum by (namespace, publisher)"
OF_SUBSCRIPTION = "sum by (namespace, subscription)"
OF_RESOURCE = "max by (kind, namespace, name)"

BY_PUBLISHER = "{{namespace}}/{{publisher}}"
BY_DESTINATION = "{{namespace}}/{{publisher}} {{destination}}"
BY_SUBSCRIPTION = "{{namespace}}/{{subscription}}"
BY_POD = "{{namespace}}/{{pod}}"

CONDITION = f'{OF_RESOURCE} (outbox_operator_resource_condition{{condition="%s", status="True", {NAMESPACE}}})'
IS_READY = CONDITION % "Ready"
IS_SUSPENDED = CONDITION % "Suspended"
PENDING = f"{TABLE} (outbox_pending_messages{{{PUBLISHER}}})"
FAILED = f"{TABLE} (outbox_failed_messages{{{PUBLISHER}}})"
OLDEST_AGE = f"time() - {TABLE} (outbox_oldest_pending_timestamp_seconds{{{PUBLISHER}}})"
PUBLISHED = f"outbox_published_messages_total{{{PUBLISHER}}}"
RECEIVED = f"outbox_received_messages_total{{{SUBSCRIPTION}}}"
CONNECTED = f"max by (namespace, pod) (outbox_broker_connected{{{WORKER}}})"


def files(root: Path) -> dict[Path, str]:
    """Return the dashboard's JSON, as the chart delivers it."""
    return {root / OUTPUT: json.dumps(build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"}


def build() -> model.Dashboard:
    """Return the dashboard."""
    board = (
        dashboard.Dashboard("Outbox")
        .uid("django-outbox")
        .description("Publishers and subscriptions of the outbox: what waits, what fails, which worker is in trouble.")
        .tags(["outbox", "django"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    workers = f"outbox_worker_info{{{NAMESPACE}}}"
    everything = '{__name__=~"outbox_worker_info|outbox_operator_resource_condition"}'
    # Series without a publisher or subscription are none of the selected ones, hence `.+` for "All" of these.
    selections = (("namespace", everything, ".*"), ("publisher", workers, ".+"), ("subscription", workers, ".+"))
    for name, series, everyone in selections:
        board = board.with_variable(_variable(name, series, everyone))
    return place(board, [_overview(), _publishers(), _subscriptions(), _workers()]).build()


def _variable(name: str, series: str, everyone: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(everyone)
        .current(model.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def _overview() -> Row:
    return Row(
        "Overview",
        [(4, _overview_numbers()), (8, [_oldest(), _backlog(), _throughput()]), (8, [_resources(), _failed()])],
    )


def _overview_numbers() -> list[Panel]:
    return [
        number(
            "Resources not ready",
            "Publishers and Subscriptions whose condition Ready is not True, the suspended ones left out.",
            Query(f"count({IS_READY} == 0 unless {IS_SUSPENDED} == 1) or 0 * count({IS_READY})"),
            warn_at=1,
        ),
        number(
            "Oldest message",
            "Age of the oldest row that waits to be published; 0 when none waits.",
            Query(f"max({OLDEST_AGE}) or 0 * max({PENDING})"),
            unit="s",
            warn_at=300,
        ),
        number("Backlog", "Rows that wait to be published.", Query(f"sum({PENDING})")),
        number(
            "Failed messages",
            "Rows given up after all retries. They wait for someone to replay them.",
            Query(f"sum({FAILED})"),
            warn_at=1,
        ),
        number(
            "Worker pods",
            "Pods of publishers and subscriptions that report to Prometheus.",
            Query(f"count(count by (namespace, pod) (outbox_worker_info{{{WORKER}}}))"),
        ),
        number(
            "Workers without broker",
            "Pods that are connected to none of their brokers.",
            Query(f"count({CONNECTED}) - sum({CONNECTED})"),
            warn_at=1,
        ),
    ]


def _oldest() -> Panel:
    age = f"max by (namespace, publisher) ({OLDEST_AGE}) or max by (namespace, publisher) (0 * {PENDING})"
    return graph(
        "Oldest message by publisher",
        "A line that climbs with time: something in that outbox does not get through.",
        [Query(age, BY_PUBLISHER)],
        unit="s",
    )


def _backlog() -> Panel:
    return graph(
        "Backlog by destination",
        "Rows that wait, whether for their first try or for a retry.",
        [Query(PENDING, BY_DESTINATION)],
    )


def _throughput() -> Panel:
    published = f'outbox_published_messages_total{{result="success", {PUBLISHER}}}'
    received = f'outbox_received_messages_total{{result="ack", {SUBSCRIPTION}}}'
    return graph(
        "Throughput",
        "Messages that the broker confirmed, and messages whose callback has saved its work.",
        [
            Query(f"{OF_PUBLISHER} (rate({published}[$__rate_interval]))", f"published {BY_PUBLISHER}"),
            Query(f"{OF_SUBSCRIPTION} (rate({received}[$__rate_interval]))", f"received {BY_SUBSCRIPTION}"),
        ],
        unit="ops",
    )


def _resources() -> Panel:
    return listing(
        "Publishers and Subscriptions",
        "Those that are not ready come first; kubectl describe tells why.",
        Query(f"{IS_READY} + 2 * {IS_SUSPENDED} or {IS_READY}"),
        {"kind": "Kind", "namespace": "Namespace", "name": "Name", "Value": "State"},
        {0: "Not ready", 1: "Ready", 2: "Suspended"},
    )


def _failed() -> Panel:
    return graph(
        "Failed messages by destination",
        "Parked rows; a step up is a message that used up its retries.",
        [Query(FAILED, BY_DESTINATION)],
    )


def _publishers() -> Row:
    lag = graph(
        "Publish lag",
        "From the row being added to the broker's receipt: what consumers feel.",
        _quantiles("outbox_publish_lag_seconds", PUBLISHER),
        unit="s",
    )
    receipt = graph(
        "Time to receipt",
        "From the SEND to the broker's receipt: the broker's share of the lag.",
        _quantiles("outbox_publish_duration_seconds", PUBLISHER),
        unit="s",
    )
    results = graph(
        "Sends by result",
        "Confirmed and refused messages.",
        [Query(f"sum by (result) (rate({PUBLISHED}[$__rate_interval]))", "{{result}}")],
        unit="ops",
    )
    return Row("Publishers", [(8, [lag, receipt]), (8, [results, _retries(), _batches()])])


def _retries() -> Panel:
    retries = f"sum by (reason) (rate(outbox_publish_retries_total{{{PUBLISHER}}}[$__rate_interval]))"
    return graph(
        "Retries by reason",
        "Sends that failed and were scheduled again.",
        [Query(_or_none(retries, f"sum({PENDING})"), "{{reason}}")],
        unit="ops",
    )


def _batches() -> Panel:
    rows = f"{OF_PUBLISHER} (rate(outbox_publish_batch_messages_sum{{{PUBLISHER}}}[$__rate_interval]))"
    batches = f"{OF_PUBLISHER} (rate(outbox_publish_batch_messages_count{{{PUBLISHER}}}[$__rate_interval]))"
    return graph(
        "Rows claimed at a time",
        "Near the batch size: the relay is behind. Near 1: it keeps up.",
        [Query(f"{rows} / {batches}", BY_PUBLISHER)],
    )


def _subscriptions() -> Row:
    results = graph(
        "Deliveries by result",
        "A duplicate was handled before and is harmless; an error is a callback that raised.",
        [Query(f"sum by (result) (rate({RECEIVED}[$__rate_interval]))", "{{result}}")],
        unit="ops",
    )
    callback = graph(
        "Time in the callback",
        "The application's own code.",
        _quantiles("outbox_callback_duration_seconds", SUBSCRIPTION),
        unit="s",
    )
    lag = graph(
        "Receive lag",
        "From the message being sent to its acknowledgement.",
        _quantiles("outbox_receive_lag_seconds", SUBSCRIPTION),
        unit="s",
    )
    inflight = graph(
        "In flight",
        "Deliveries that a callback works on. Flat at the concurrency: more workers would help.",
        [Query(f"{OF_SUBSCRIPTION} (outbox_inflight_messages{{{SUBSCRIPTION}}})", BY_SUBSCRIPTION)],
    )
    return Row("Subscriptions", [(8, [results, callback, lag]), (8, [inflight, _redeliveries()])])


def _redeliveries() -> Panel:
    redelivered = f"{OF_SUBSCRIPTION} (rate(outbox_redelivered_messages_total{{{SUBSCRIPTION}}}[$__rate_interval]))"
    counting = f"{OF_SUBSCRIPTION} (0 * outbox_inflight_messages{{{SUBSCRIPTION}}})"
    return graph(
        "Redeliveries",
        "Messages the broker had handed out before: after a crash, or a callback that keeps failing.",
        [Query(f"{redelivered} or {counting}", BY_SUBSCRIPTION)],
        unit="ops",
    )


def _workers() -> Row:
    connected = graph(
        "Broker connected",
        "1 while the pod is connected to one of its brokers.",
        [Query(CONNECTED, BY_POD)],
    )
    reconnects = f"sum by (reason) (rate(outbox_broker_reconnects_total{{{WORKER}}}[$__rate_interval]))"
    reconnected = graph(
        "Reconnects by reason",
        "Connections that had to be opened anew.",
        [Query(_or_none(reconnects, f"max({CONNECTED})"), "{{reason}}")],
        unit="ops",
    )
    heartbeat = graph(
        "Time since the loop succeeded",
        "Beyond two minutes the worker counts as stalled.",
        [Query(f"time() - max by (namespace, pod) (outbox_loop_last_success_timestamp_seconds{{{WORKER}}})", BY_POD)],
        unit="s",
    )
    return Row("Workers", [(8, [connected, reconnected, heartbeat]), (8, [_versions()])])


def _versions() -> Panel:
    columns = ("namespace", "publisher", "subscription", "pod", "version", "django", "python")
    return listing(
        "What runs",
        "Versions by pod: during a rollout the old and the new ones show.",
        Query(f"max by ({', '.join(columns)}) (outbox_worker_info{{{WORKER}}})"),
        {column: column.capitalize() for column in columns},
    )


def _quantiles(histogram: str, selector: str) -> list[Query]:
    rate = f"sum by (le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q}, {rate})", f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)]


def _or_none(by_reason: str, counting: str) -> str:
    """Return the expression, or 0 for the reason "none" where it has no series although ``counting`` has a value."""
    none = f'label_replace(0 * {counting}, "reason", "none", "", "")'
    return f"{by_reason} or ({none} unless on () {by_reason})"
