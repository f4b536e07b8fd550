"""The composition root: settings, server, leader election, watches, queue, resync. `__main__` calls `run`."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import disable_created_metrics

from outbox_operator import metrics
from outbox_operator.api.resource import KINDS
from outbox_operator.handlers import Triggers, Watches
from outbox_operator.knowledge import Knowledge
from outbox_operator.kube import Api, load_configuration
from outbox_operator.leader import Leader
from outbox_operator.mirror import Mirror
from outbox_operator.reading import Memory
from outbox_operator.reconcile import Policy, Reconciler
from outbox_operator.resync import Health, Resync
from outbox_operator.schema.crds import openapi_schema
from outbox_operator.server import Server
from outbox_operator.teller import Teller
from outbox_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox_operator.settings import Settings

logger = logging.getLogger(__name__)

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
_FINISH_SECONDS: Final = 5.0
"""How long reconciliations in flight may go on after SIGTERM."""
_WATCH_WITHIN_SECONDS: Final = 15.0
"""How long the watches, which list everything once more, leave the processor to what was there at the start."""
_SWITCH_SECONDS: Final = 0.0005
"""How long the watches may keep the interpreter lock from the rest; a tenth of what Python does by default."""


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT (0), or until the lead or the watches are lost (1)."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    # What the imports have made stays for good; the collector would walk through all of it again and again.
    gc.freeze()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for kind in KINDS:
        openapi_schema(kind)  # Before there is any resource that would have to wait for it.
    configuration = await load_configuration()
    api = Api(ApiClient(configuration))
    health = Health(settings.resync_seconds)
    server = Server(api, health.complaint)
    try:
        await server.start(settings.port)
        return await _elected(settings, api, health, stop)
    finally:
        await server.stop()
        await api.close()


async def _elected(settings: Settings, api: Api, health: Health, stop: asyncio.Event) -> int:
    """Work while leading; without election, work at once."""
    if not settings.leader_election:
        return await _work(settings, api, health, stop, lost=None)
    leader = Leader(api.client, settings.lease_name, settings.namespace, settings.pod_name)
    election = asyncio.create_task(leader.run(), name="election")
    waiting = asyncio.create_task(leader.acquired.wait(), name="acquired")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        logger.info("waiting for the lead as %s", settings.pod_name)
        await asyncio.wait({election, waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return EXIT_STOPPED
        if not leader.acquired.is_set():
            await election  # It ended before it began: raise its error.
            return EXIT_FAILED
        api.may_write = leader.holds
        return await _work(settings, api, health, stop, lost=election)
    finally:
        leading = leader.acquired.is_set() and not election.done()
        await _cancel((election, waiting, stopping))
        if leading:
            await leader.release()


async def _work(
    settings: Settings, api: Api, health: Health, stop: asyncio.Event, lost: asyncio.Task[None] | None
) -> int:
    """Watch and reconcile until stopped, or until the lead or the watches are lost."""
    knowledge = Knowledge(Memory(api, Mirror()))
    policy = Policy(knowledge.consumers.rival, host_access=settings.host_access)
    teller = Teller(api, settings.pod_name)
    reconciler = Reconciler(knowledge.memory, teller, policy, knowledge.dependencies)
    queue = WorkQueue(reconciler, comes_first=reconciler.is_new)
    watches = Watches(Triggers(knowledge, queue.add), settings.watch_namespaces)
    resync = Resync(settings.watch_namespaces, knowledge, queue.add)
    metrics.LEADER.set(1)
    health.working()
    tasks = [asyncio.create_task(queue.work(), name=f"worker-{number}") for number in range(settings.workers)]
    tasks.append(asyncio.create_task(teller.run(), name="teller"))

    async def watch() -> None:
        await queue.first_taken(_WATCH_WITHIN_SECONDS)
        watches.start()

    tasks.append(asyncio.create_task(resync.run(settings.resync_seconds, health, watch), name="resync"))
    logger.info("working on %s", ", ".join(settings.watch_namespaces) or "the whole cluster")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    ends: set[asyncio.Future[Any]] = {stopping, watches.ended, *tasks, *([lost] if lost else [])}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    metrics.LEADER.set(0)
    if lost is None or not lost.done():
        queue.close()
        await queue.idle(_FINISH_SECONDS)
        await teller.flush(_FINISH_SECONDS)
    # Without the lead another replica may work already: then nothing in flight is waited for.
    await _cancel([*tasks, stopping])
    await asyncio.to_thread(watches.stop)
    if stop.is_set():
        logger.info("stopped")
        return EXIT_STOPPED
    for end in ends:
        if end.done() and not end.cancelled() and end.exception() is not None:
            logger.error("the operator ends, because a part of it has: %s", end.exception(), exc_info=end.exception())
    return EXIT_FAILED


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
