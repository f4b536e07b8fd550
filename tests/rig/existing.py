"""A cluster that the user has already: the kubeconfig's current context, nothing brought up, nothing taken down."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.binaries import binary
from tests.rig.process import run
from tests.rig.progress import say
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOAD = "CLUSTER_LOAD_IMAGE"


class ExistingCluster:
    """The cluster of `CLUSTER=current`."""

    @property
    def kubeconfig(self) -> Path:
        """The user's kubeconfig: the first file of KUBECONFIG, or the default place."""
        named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        return Path(named) if named else Path.home() / ".kube" / "config"

    def client(self, name: str) -> list[str]:
        """The command of the user's own kubectl or helm, the rig's where there is none; KUBECONFIG is theirs."""
        return [shutil.which(name) or str(binary(name))]

    def is_up(self) -> bool:
        """Whether the current context's API server answers."""
        try:
            run([*self.client("kubectl"), "get", "--raw", "/version", "--request-timeout=10s"])
        except RigError:
            return False
        return True

    def up(self) -> None:
        """Check what a run needs of the cluster, before the long steps."""
        load_command("example", Path("example.tar"))
        if not self.is_up():
            raise RigError("the current kubeconfig context does not answer: see `kubectl cluster-info`")
        say(f"using the current context {run([*self.client('kubectl'), 'config', 'current-context']).strip()}")

    def down(self) -> None:
        """Leave the cluster alone."""
        say("CLUSTER=current: the cluster is yours and stays")

    def has_image(self, tag: str, image_id: str) -> bool:
        """Never known of somebody else's cluster."""
        return False

    def load(self, tag: str, image_id: str, save: Callable[[Path], None], archive: Path) -> None:
        """Bring an image into the cluster by the user's command."""
        argv = load_command(tag, archive)
        save(archive)
        try:
            if not any(str(archive) in word for word in argv):
                run(["docker", "load", "-q", "-i", str(archive)], seconds=300)
            run(argv, seconds=600)
        finally:
            archive.unlink(missing_ok=True)


def load_command(tag: str, archive: Path) -> list[str]:
    """The user's command for loading an image, filled in; raises RigError with examples when there is none."""
    template = os.environ.get(_LOAD)
    if not template:
        raise RigError(
            f"CLUSTER=current needs {_LOAD}, a command that brings an image into your cluster's nodes. {{archive}} in "
            "it is the path of a docker-archive, {image} the tag (the image is then loaded into your docker first):\n"
            f"  {_LOAD}='kind load image-archive {{archive}}'\n"
            f"  {_LOAD}='minikube image load {{archive}}'\n"
            f"  {_LOAD}='k3d image import {{archive}} -c mycluster'\n"
            f"  {_LOAD}='kind load docker-image {{image}}'"
        )
    return [word.replace("{image}", tag).replace("{archive}", str(archive)) for word in shlex.split(template)]
