"""The watches: kopf delivers events, we put keys on the queue and do nothing else.

Only `on.event` and `on.login` are used, because with these kopf writes nothing: no finalizer that could block a
deletion, no annotation, no status. kopf runs in a thread of its own with its own event loop: it takes over the signal
handlers and ends every task of the loop it runs on, which must not be ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import kopf

from outbox_operator.api.marks import marks_of
from outbox_operator.api.resource import GROUP, KINDS, VERSION, Key, Kind
from outbox_operator.deliveries import WatchEvent, key_of
from outbox_operator.errors import KubeError
from outbox_operator.kube import DEPLOYMENTS, load_configuration
from outbox_operator.mirror import snapshot
from outbox_operator.ownership import owner_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.aio.client.configuration import Configuration

    from outbox_operator.knowledge import Knowledge

logger = logging.getLogger(__name__)

_STOP_SECONDS: Final = 3.0


class Triggers:
    """Turns watch events into keys. Runs on the main event loop, as the queue does."""

    def __init__(self, knowledge: Knowledge, add: Callable[[Key], None]) -> None:
        self._deliveries = knowledge.deliveries
        self._followers = knowledge.followers
        self._consumers = knowledge.consumers
        self._mirror = knowledge.memory.mirror
        self._add = add

    def on_resource(self, kind: Kind, event: WatchEvent) -> None:
        """Handle an event of a Publisher or Subscription. Our own writes of the status bring nothing new."""
        key = key_of(kind, event.obj)
        news = self._deliveries.note(event)
        self._show(event)
        present = None if event.deleted else event.obj
        self._followers.update(key, present)
        for concerned in self._consumers.update(key, present):
            self._add(concerned)
        if news or event.obj["metadata"].get("deletionTimestamp"):
            self._add(key)

    def on_deployment(self, event: WatchEvent) -> None:
        """Handle an event of a Deployment: ours (also of its status: that is the workers' state) or a followed one.

        What a write of our own has shown already leads nowhere: the pass that wrote it has drawn its conclusions.
        """
        news = self._deliveries.note(event)
        metadata = event.obj["metadata"]
        owner = owner_key(event.obj)
        if self._show(event) and owner is not None:
            self._add(owner)
        if news:
            for key in self._followers.of(metadata["namespace"], metadata["name"]):
                self._add(key)

    def _show(self, event: WatchEvent) -> bool:
        """Mirror an event; tell whether it shows anything that was not known."""
        if event.snapshot is None:
            return True
        if event.deleted:
            self._mirror.drop(event.snapshot.place, event.snapshot.version)
            return True
        return self._mirror.note(event.snapshot)


class Watches:
    """Runs kopf until stopped."""

    def __init__(self, triggers: Triggers, namespaces: tuple[str, ...]) -> None:
        self._triggers = triggers
        self._namespaces = namespaces
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when kopf has ended, with its error if that was the cause."""

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, if it has begun; waits a moment, a thread that hangs ends with the process."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._operator())
        except Exception as error:  # noqa: BLE001 - handed to the main loop, which ends the process
            self._hand_over(self._end, error)
        else:
            self._hand_over(self._end, None)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    async def _operator(self) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=kopf_settings(),
            standalone=True,
            # Only peering reads it, which is off. Left out, kopf asks for the user's name, and a pod's uid has none.
            identity=kopf_identity(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, retries=3, backoff=5.0)(_login)
        for kind in KINDS:
            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=kind.plural)(self._resource_handler(kind))
        kopf.on.event(DEPLOYMENTS.group, DEPLOYMENTS.version, DEPLOYMENTS.plural, registry=registry, id="deployments")(
            self._deployment_handler()
        )
        return registry

    def _resource_handler(self, kind: Kind) -> Any:
        async def changed(event: Any, **_: Any) -> None:
            self._hand_over(self._triggers.on_resource, kind, _reduced(kind.plural, event))

        return changed

    def _deployment_handler(self) -> Any:
        async def changed(event: Any, **_: Any) -> None:
            self._hand_over(self._triggers.on_deployment, _reduced(DEPLOYMENTS.plural, event))

        return changed

    def _hand_over(self, callback: Callable[..., None], *arguments: Any) -> None:
        # While the process ends, the main loop may be closed already; then nobody is left to be told.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


class _NoDifferences(kopf.DiffBaseStorage):
    """Keeps kopf from copying each object twice to learn what has changed in it; no handler of ours asks for that."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002
        """Return nothing of an object."""
        return {}

    def fetch(self, *, body: Any) -> None:
        """Remember nothing."""

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Write nothing."""


def kopf_identity() -> Any:
    """Return any name: kopf has a type of its own for it, which it does not export."""
    return "outbox-operator"


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: nothing is posted, dead connections are noticed, namespaces and CRDs are not watched."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDifferences()
    # Namespaces and CRDs would need rights of their own; ours are known when we start.
    settings.scanning.disabled = True
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    # The API server sends a bookmark a minute: kopf reconnects when 70 s pass without one. This is the belt to it.
    settings.watching.client_timeout = 10 * 60
    settings.watching.connect_timeout = 10
    settings.process.ultimate_exiting_timeout = None
    return settings


async def _login(**_: Any) -> kopf.ConnectionInfo:
    """Give kopf the same way to the API server that our own client uses; asked again when a token has expired."""
    try:
        configuration = await load_configuration()
        return connection_info(configuration, await configuration.get_api_key_with_prefix("BearerToken"))
    except KubeError as error:
        raise kopf.LoginError(str(error)) from error


def connection_info(configuration: Configuration, authorization: str | None) -> kopf.ConnectionInfo:
    """Translate the client's configuration for kopf."""
    scheme, _, token = (authorization or "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


def _reduced(resource: str, event: Any) -> WatchEvent:
    """Keep of an event what triggers need, and the rest packed, so that no whole objects are held while they wait."""
    obj = event["object"]
    metadata = obj["metadata"]
    names = ("uid", "name", "namespace", "generation", "creationTimestamp", "deletionTimestamp", "ownerReferences")
    kept: dict[str, Any] = {"metadata": {name: metadata[name] for name in names if name in metadata}}
    kept["metadata"]["annotations"] = marks_of(obj)
    spec = obj.get("spec")
    if isinstance(spec, Mapping) and resource != DEPLOYMENTS.plural:
        kept["spec"] = {name: spec[name] for name in ("workloadRef", "queue", "callback") if name in spec}
    return WatchEvent(resource, event["type"] == "DELETED", kept, snapshot(resource, obj))
