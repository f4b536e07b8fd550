"""The test rig: a real Kubernetes node, API server, brokers and databases on this machine. See README.md."""

from tests.rig.apiserver import ApiServer
from tests.rig.rig import Rig
from tests.rig.waiting import RigError

__all__ = ["ApiServer", "Rig", "RigError"]
