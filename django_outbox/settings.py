"""The settings, read from ``DJANGO_OUTBOX_PATTERN`` in the project's settings each time one is used.

``settings.DEFAULT_WAIT_RETRY`` is a look-up, not a constant: ``override_settings`` works, and so does assigning to the
name in a test. ``KEYS`` is the one table of what there is: default, meaning with its unit, and what a value must be;
``checks.py`` holds projects to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from django_outbox import validators as v
from django_outbox.validators import Key

if TYPE_CHECKING:
    from collections.abc import Callable

DICT_NAME = "DJANGO_OUTBOX_PATTERN"
DEFAULT_BATCH_SIZE = 500

_QUEUE_HEADERS = {"durable": "true", "auto-delete": "false", "prefetch-count": "1"}

_KEYS = (
    # The broker
    Key("DEFAULT_CONNECTION_CLASS", "stomp.StompConnection12", v.dotted_path, "The stomp.py class that connects."),
    Key("DEFAULT_STOMP_HOST_AND_PORTS", [("127.0.0.1", 61613)], v.hosts, "Brokers to try, as (host, port) pairs."),
    Key("DEFAULT_STOMP_VHOST", "/", v.text, "Virtual host."),
    Key("DEFAULT_STOMP_USERNAME", "guest", v.optional(v.text), "User name."),
    Key("DEFAULT_STOMP_PASSCODE", "guest", v.optional(v.text), "Password."),
    Key("DEFAULT_STOMP_HEARTBEATS", (10000, 10000), v.heartbeats, "Heartbeats out and in, milliseconds; 0 is off."),
    Key(
        "DEFAULT_STOMP_QUEUE_HEADERS", _QUEUE_HEADERS, v.mapping, "Headers that a subscription declares its queue with."
    ),
    Key("DEFAULT_STOMP_USE_SSL", False, v.boolean, "Connect with TLS."),
    Key("DEFAULT_STOMP_KEY_FILE", None, v.optional(v.path), "File of the client's private key."),
    Key("DEFAULT_STOMP_CERT_FILE", None, v.optional(v.path), "File of the client's certificate."),
    Key(
        "DEFAULT_STOMP_CA_CERTS",
        None,
        v.optional(v.path),
        "File of the authorities that the broker's is checked by; None asks the system's.",
    ),
    Key(
        "DEFAULT_STOMP_SSL_VERIFY",
        True,
        v.boolean,
        "Accept only a broker whose certificate is valid and names the host connected to.",
    ),
    Key("DEFAULT_STOMP_CERT_VALIDATOR", None, v.optional(v.function), "A further check: (cert, host) -> (ok, error)."),
    Key("DEFAULT_STOMP_SSL_VERSION", None, v.anything, "A PROTOCOL_... constant of the ssl module."),
    Key("DEFAULT_STOMP_SSL_PASSWORD", None, v.optional(v.text), "Password of the private key."),
    Key(
        "DEFAULT_MAXIMUM_BACKOFF",
        3600,
        v.positive,
        "Longest wait between attempts to connect, seconds; a worker never waits longer than 30.",
    ),
    # Rows and their headers
    Key("DEFAULT_PUBLISHED_CLASS", "django_outbox_pattern.models.Published", v.dotted_path, "Model of the outbox."),
    Key("DEFAULT_RECEIVED_CLASS", "django_outbox_pattern.models.Received", v.dotted_path, "Model of the inbox."),
    Key("DEFAULT_GENERATE_HEADERS", "django_outbox_pattern.headers.generate_headers", v.dotted_path, "Makes headers."),
    Key("DAYS_TO_KEEP_DATA", 30, v.optional(v.not_negative), "Days that finished rows are kept; None keeps them all."),
    Key("REMOVE_DATA_CACHE_TTL", 86400, v.positive, "Seconds from one removal of old rows to the next."),
    Key(
        "OUTBOX_PATTERN_PUBLISHER_CACHE_KEY",
        "remove_old_messages_django_outbox_pattern_publisher",
        v.text,
        "Cache key that remembers the last removal of published rows.",
    ),
    Key(
        "OUTBOX_PATTERN_CONSUMER_CACHE_KEY",
        "remove_old_messages_django_outbox_pattern_consumer",
        v.text,
        "Cache key that remembers the last removal of received rows.",
    ),
    # The publisher
    Key(
        "DEFAULT_PRODUCER_LISTENER_CLASS",
        "django_outbox_pattern.listeners.ProducerListener",
        v.dotted_path,
        "Listener.",
    ),
    Key("PUBLISH_BATCH_SIZE", DEFAULT_BATCH_SIZE, v.whole_positive, "Rows claimed and sent at a time."),
    Key("DEFAULT_PUBLISHED_CHUNK_SIZE", 200, v.whole_positive, "Older name of PUBLISH_BATCH_SIZE, which wins."),
    Key("DEFAULT_PRODUCER_WAITING_TIME", 1, v.positive, "Seconds between looks into an outbox that stays empty."),
    Key("RECEIPT_TIMEOUT", 30, v.positive, "Seconds the broker has to confirm a batch."),
    Key("CLAIM_LEASE", 120, v.positive, "Seconds after which the rows of a dead publisher are taken by another."),
    Key("SHUTDOWN_TIMEOUT", None, v.optional(v.positive), "Seconds a publisher may take to stop; None is 30."),
    Key("DEFAULT_MAXIMUM_RETRY_ATTEMPTS", 50, v.whole_positive, "Failed sends after which a row is parked as FAILED."),
    Key("DEFAULT_PAUSE_FOR_RETRY", 240, v.not_negative, "Seconds a row waits after its third failed send."),
    Key("DEFAULT_WAIT_RETRY", 60, v.not_negative, "Seconds a row waits after each later failed send."),
    Key("WAKE_BY_NOTIFY", True, v.boolean, "Writers wake publishers, where the database is PostgreSQL."),
    Key("NOTIFY_DEBOUNCE", 0.05, v.not_negative, "Seconds in which a process wakes publishers once at most."),
    Key(
        "ORDER_ON_FAILURE",
        "block",
        v.one_of("block", "park", "skip"),
        "When a row is parked as FAILED, the later rows of its key: wait, are parked too, or go on.",
    ),
    # The consumer
    Key(
        "DEFAULT_CONSUMER_LISTENER_CLASS",
        "django_outbox_pattern.listeners.ConsumerListener",
        v.dotted_path,
        "Listener.",
    ),
    Key("DEFAULT_EXCLUSIVE_QUEUE", False, v.boolean, "Declare the queue for one connection only."),
    Key("DEFAULT_CONSUMER_PROCESS_MSG_ON_BACKGROUND", False, v.boolean, "Callbacks always run beside the connection."),
    Key(
        "DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT",
        90,
        v.optional(v.not_negative),
        "Seconds to finish on stop; None is no limit.",
    ),
    Key("DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS", 3, v.whole_not_negative, "Tries again after a database error."),
    Key("DEFAULT_CONSUMER_RETRY_WAIT", 2, v.not_negative, "Seconds before the first of them, growing by as much each."),
    Key(
        "INBOX_PER_QUEUE",
        True,
        v.boolean,
        "Each queue handles a message once; False: only one queue does, as beside workers of django-outbox-pattern.",
    ),
    Key(
        "CONSUMER_RETRY_DELAYS",
        (10, 60, 300, 1800),
        v.delays,
        "Seconds before each further try of a message that failed; empty sends it to the dead letters at once.",
    ),
    Key("CONSUMER_CONCURRENCY", 1, v.whole_positive, "Callbacks at work at the same time."),
    Key(
        "CONSUMER_GROUP_SIZE",
        1,
        v.whole_positive,
        "Messages that may share a transaction, each with its own callback; a failure undoes only its own.",
    ),
    Key("CONSUMER_BATCH_SIZE", 1, v.whole_positive, "Messages a batch callback gets at a time, if it does not say."),
    Key("CONSUMER_BATCH_WAIT", 0.1, v.not_negative, "Seconds the first of a batch waits for others, likewise."),
    Key("CONSUMER_PREFETCH", None, v.optional(v.whole_positive), "Messages in hand; None follows the queue headers."),
    # Both
    Key("METRICS_PORT", None, v.optional(v.port), "Port of /metrics and the probes; None opens none, 0 any."),
    Key("TRACE_CONTEXT", True, v.boolean, "Carry W3C trace context in the headers of messages."),
    Key("LOG_MESSAGE_BODIES", False, v.boolean, "Let the listeners log bodies and headers at DEBUG."),
)
KEYS: Mapping[str, Key] = {key.name: key for key in _KEYS}

# Spellings that some release read, and the key that each of them means.
ALIASES: Mapping[str, str] = {"DAFAULT_EXCLUSIVE_QUEUE": "DEFAULT_EXCLUSIVE_QUEUE"}
_SPELLINGS = {name: (name, *(alias for alias, meant in ALIASES.items() if meant == name)) for name in KEYS}
# Keys that some release read and that do nothing any more.
RETIRED = frozenset(
    {
        "DEFAULT_CONSUMER_PROCESS_MSG_WORKERS",
        "DEFAULT_PRODUCER_PROCESS_MSG_ON_BACKGROUND",
        "DEFAULT_PRODUCER_PROCESS_MSG_WORKERS",
    }
)
# Keys whose value the ``settings`` object of release 0.9.0 imports.
IMPORT_STRINGS = (
    "DEFAULT_CONNECTION_CLASS",
    "DEFAULT_CONSUMER_LISTENER_CLASS",
    "DEFAULT_GENERATE_HEADERS",
    "DEFAULT_PRODUCER_LISTENER_CLASS",
    "DEFAULT_PUBLISHED_CLASS",
    "DEFAULT_RECEIVED_CLASS",
    "DEFAULT_STOMP_CERT_VALIDATOR",
)

# What type checkers see; at run time each name is looked up by __getattr__.
DJANGO_OUTBOX_PATTERN: dict[str, Any]
DEFAULT_CONNECTION_CLASS: str
DEFAULT_STOMP_HOST_AND_PORTS: list[tuple[str, int]]
DEFAULT_STOMP_VHOST: str
DEFAULT_STOMP_USERNAME: str | None
DEFAULT_STOMP_PASSCODE: str | None
DEFAULT_STOMP_HEARTBEATS: tuple[int, int]
DEFAULT_STOMP_QUEUE_HEADERS: dict[str, Any]
DEFAULT_STOMP_USE_SSL: bool
DEFAULT_STOMP_KEY_FILE: str | None
DEFAULT_STOMP_CERT_FILE: str | None
DEFAULT_STOMP_CA_CERTS: str | None
DEFAULT_STOMP_SSL_VERIFY: bool
DEFAULT_STOMP_CERT_VALIDATOR: Callable[..., tuple[bool, str]] | str | None
DEFAULT_STOMP_SSL_VERSION: Any
DEFAULT_STOMP_SSL_PASSWORD: str | None
DEFAULT_MAXIMUM_BACKOFF: float
DEFAULT_PUBLISHED_CLASS: str
DEFAULT_RECEIVED_CLASS: str
DEFAULT_GENERATE_HEADERS: str
DAYS_TO_KEEP_DATA: float | None
REMOVE_DATA_CACHE_TTL: float
OUTBOX_PATTERN_PUBLISHER_CACHE_KEY: str
OUTBOX_PATTERN_CONSUMER_CACHE_KEY: str
DEFAULT_PRODUCER_LISTENER_CLASS: str
PUBLISH_BATCH_SIZE: int
DEFAULT_PUBLISHED_CHUNK_SIZE: int
DEFAULT_PRODUCER_WAITING_TIME: float
RECEIPT_TIMEOUT: float
CLAIM_LEASE: float
SHUTDOWN_TIMEOUT: float | None
DEFAULT_MAXIMUM_RETRY_ATTEMPTS: int
DEFAULT_PAUSE_FOR_RETRY: float
DEFAULT_WAIT_RETRY: float
WAKE_BY_NOTIFY: bool
NOTIFY_DEBOUNCE: float
ORDER_ON_FAILURE: str
DEFAULT_CONSUMER_LISTENER_CLASS: str
DEFAULT_EXCLUSIVE_QUEUE: bool
DEFAULT_CONSUMER_PROCESS_MSG_ON_BACKGROUND: bool
DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT: float | None
DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS: int
DEFAULT_CONSUMER_RETRY_WAIT: float
INBOX_PER_QUEUE: bool
CONSUMER_RETRY_DELAYS: tuple[float, ...] | list[float]
CONSUMER_CONCURRENCY: int
CONSUMER_GROUP_SIZE: int
CONSUMER_BATCH_SIZE: int
CONSUMER_BATCH_WAIT: float
CONSUMER_PREFETCH: int | None
METRICS_PORT: int | None
TRACE_CONTEXT: bool
LOG_MESSAGE_BODIES: bool


def configured() -> Mapping[str, Any]:
    """Return the project's own settings dict as it is now; empty where there is none."""
    value = getattr(django_settings, DICT_NAME, None)
    return value if type(value) is dict or isinstance(value, Mapping) else {}


def value_of(name: str) -> Any:
    """Return the value of a key: the project's, else the default. Raises ``KeyError`` for a key that does not exist."""
    key = KEYS[name]
    project = configured()
    for spelling in _SPELLINGS[name]:
        if spelling in project:
            return key.read(project[spelling])
    # PUBLISH_BATCH_SIZE is ours; a project that tuned the older key meant the same thing.
    if name == "PUBLISH_BATCH_SIZE" and "DEFAULT_PUBLISHED_CHUNK_SIZE" in project:
        return value_of("DEFAULT_PUBLISHED_CHUNK_SIZE")
    return key.fresh_default()


def closest(name: str) -> str | None:
    """Return the key that ``name`` was probably meant to be, None when nothing is near."""
    matches = difflib.get_close_matches(name, KEYS, n=1, cutoff=0.7)
    return matches[0] if matches else None


def __getattr__(name: str) -> Any:
    if name == DICT_NAME:
        return configured()
    if name in KEYS:
        return value_of(name)
    message = f"There is no setting {name!r}."
    near = closest(name)
    raise AttributeError(f"{message} Did you mean {near!r}?" if near else message)


class Setting:
    """What ``from django_outbox_pattern.settings import settings`` gave in 0.9.0: dotted paths come imported."""

    def __getattr__(self, name: str) -> Any:
        value = globals()[name] if name in globals() else __getattr__(name)
        return import_string(value) if name in IMPORT_STRINGS and isinstance(value, str) else value

    def reload(self) -> None:
        """Do nothing: every look-up is fresh."""


settings = Setting()
