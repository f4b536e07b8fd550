"""What the other tests of this tier take for granted of the proxy in front of their API server."""

from __future__ import annotations

import gc
import socket
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.rig.api_proxy import ApiProxy
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster

CLIENTS = 30


def test_clients_that_leave_at_any_moment_leave_no_connection_behind(cluster: Cluster) -> None:
    """pytest fails the test on a socket that the collector finds open."""
    with ApiProxy(cluster.server) as proxy:
        for number in range(CLIENTS):
            with _watching(proxy):
                # None, a few or all steps of the way to the API server are done when the client goes.
                if number % 2:
                    wait_until("its request", partial(_has_asked, proxy, number + 1), seconds=10)
        wait_until("all requests", partial(_has_asked, proxy, CLIENTS), seconds=10)
    gc.collect()


def test_watches_that_are_cut_end_and_are_not_counted_again(cluster: Cluster) -> None:
    with ApiProxy(cluster.server) as proxy, _watching(proxy) as one, _watching(proxy) as other:
        assert [client.recv(12) for client in (one, other)] == [b"HTTP/1.1 200"] * 2
        assert proxy.cut_watches() == 2
        assert [_is_ended(client) for client in (one, other)] == [True, True]
        assert proxy.cut_watches() == 0


def _has_asked(proxy: ApiProxy, times: int) -> bool:
    return len(proxy.asked) >= times


def _watching(proxy: ApiProxy) -> socket.socket:
    place = urlsplit(proxy.url)
    client = socket.create_connection((place.hostname, place.port), timeout=10)
    client.sendall(b"GET /api/v1/namespaces?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: proxy\r\n\r\n")
    return client


def _is_ended(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        pass
    return True
