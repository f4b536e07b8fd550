"""Leader election by a Lease: one replica works, the others stand by. `main` ends the process when the lead is lost.

The official client's election is used. It knows no deadlines on its requests and ends on connection errors, so the
lock here adds both: a lead must be given up before the Lease runs out, and an API server that restarts is ridden out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.models.v1_lease import V1Lease
from kubernetes.aio.client.models.v1_object_meta import V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kubernetes.aio.client.api_client import ApiClient
    from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

logger = logging.getLogger(__name__)

TAKE_OVER_SECONDS: Final = 15
"""Within this time after a kill of the one that works, the next one works."""
LEASE_SECONDS: Final = 10
"""Others wait so long after they saw a renewal. They look every RETRY_SECONDS, so they take over after 14 s at most."""
RENEW_DEADLINE_SECONDS: Final = 6
RETRY_SECONDS: Final = 2
REQUEST_SECONDS: Final = 3.0
"""Deadline of one request. The renewal deadline plus one request must stay below the Lease's duration."""

_T = TypeVar("_T")


class PatientLock(LeaseLock):
    """A Lease whose requests have a deadline and whose connection errors count as "not this time"."""

    renewed: float | None = None
    """When the last request that made the Lease ours was begun, on the monotonic clock."""

    async def get(self, name: str, namespace: str) -> Any:
        try:
            return await self._bounded(super().get(name, namespace))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return False, ApiException(status=0, reason=f"{type(error).__name__}: {error}")

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        # Not the inherited method: in 37.0.2 it passes a parameter that the client itself refuses.
        return await self._tried(self._create(name, namespace, election_record))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        return await self._tried(super().update(name, namespace, updated_record))

    def update_lease(self, record: LeaderElectionRecord, current: Any = None) -> Any:
        """Return the Lease's spec with its times in UTC; the inherited method writes local time as if it were that."""
        spec = super().update_lease(record, current)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if record.acquire_time == record.renew_time:
            spec.acquire_time = now
        spec.renew_time = now
        return spec

    async def release(self) -> None:
        """Give the lead up at once, so that nobody has to wait for the Lease to run out."""
        try:
            await self._bounded(self._release())
        except (aiohttp.ClientError, ApiException, TimeoutError, OSError) as error:
            logger.warning("cannot release the lease; it runs out in %d s: %s", LEASE_SECONDS, error)

    async def _release(self) -> None:
        # Read again: the election's own writes do not keep the version that they led to.
        lease = await self.api_instance.read_namespaced_lease(self.name, self.namespace)
        if lease.spec is None or lease.spec.holder_identity != self.identity:
            return
        lease.spec.holder_identity = ""
        await self.api_instance.replace_namespaced_lease(name=self.name, namespace=self.namespace, body=lease)

    async def _create(self, name: str, namespace: str, record: LeaderElectionRecord) -> bool:
        metadata = V1ObjectMeta(name=name, namespace=namespace)
        lease = V1Lease(metadata=metadata, spec=self.update_lease(record))
        try:
            self.lease_reference = await self.api_instance.create_namespaced_lease(namespace, lease)
        except ApiException as error:
            logger.warning("cannot create the lease: %s", error.reason)
            return False
        return True

    async def _tried(self, request: Awaitable[bool]) -> bool:
        began = time.monotonic()
        try:
            done = await self._bounded(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.warning("cannot write the lease: %s: %s", type(error).__name__, error)
            return False
        if done:
            self.renewed = began
        return done

    @staticmethod
    async def _bounded(request: Awaitable[_T]) -> _T:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await request


class Leader:
    """Takes part in the election."""

    def __init__(self, client: ApiClient, name: str, namespace: str, identity: str) -> None:
        self._lock = PatientLock(name, namespace, identity, client)
        self.acquired = asyncio.Event()

    async def run(self) -> None:
        """Wait for the lead, set `acquired`, and return when the lead is lost."""
        config = Config(
            lock=self._lock,
            lease_duration=LEASE_SECONDS,
            renew_deadline=RENEW_DEADLINE_SECONDS,
            retry_period=RETRY_SECONDS,
            onstarted_leading=self._begin,
            onstopped_leading=self._end,
        )
        await LeaderElection(config).run()

    def holds(self) -> bool:
        """Tell whether the Lease cannot run out before what is sent now has arrived.

        A process that was frozen learns from here that its lead may be another's by now.
        """
        renewed = self._lock.renewed
        return renewed is not None and time.monotonic() - renewed < LEASE_SECONDS - REQUEST_SECONDS

    async def release(self) -> None:
        """Give the lead up, if held."""
        await self._lock.release()

    async def _begin(self) -> None:
        self.acquired.set()

    async def _end(self) -> None:
        logger.error("the lead is lost: the lease could not be renewed")
