"""What the other tests of this tier take for granted of their API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.rig import ApiServer, RigError
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


def test_objects_are_there_again_after_a_restart(api: ApiServer) -> None:
    api.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    api.restart()
    assert json.loads(api.kubectl("get", "configmap", "kept", "-o", "json"))["data"] == {"a": "1"}


def test_a_killed_server_answers_again_at_the_same_address(api: ApiServer) -> None:
    before = api.url
    api.kill()
    api.start()
    assert (api.url, api.kubectl("get", "--raw", "/readyz")) == (before, "ok")


def test_the_children_of_a_deleted_owner_go() -> None:
    # A server of its own: a controller manager that is starting up gives up for good when the API server is restarted.
    with ApiServer(with_controller_manager=True) as api:
        api.kubectl("create", "deployment", "owner", "--image=example")
        wait_until("a ReplicaSet of the Deployment", lambda: _replica_sets(api), seconds=120)
        api.kubectl("delete", "deployment", "owner", "--cascade=background")
        assert wait_until("no ReplicaSet", lambda: not _replica_sets(api), seconds=120)


def test_two_servers_do_not_share_objects(api: ApiServer) -> None:
    with ApiServer() as other:
        other.kubectl("create", "configmap", "elsewhere")
        with pytest.raises(RigError, match="NotFound"):
            api.kubectl("get", "configmap", "elsewhere")


def _replica_sets(api: ApiServer) -> str:
    return api.kubectl("get", "replicasets", "-o", "name")
