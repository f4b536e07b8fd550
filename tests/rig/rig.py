"""The rig's public face: a cluster, images for it, and the servers that the example needs in it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.rig.binaries import build_binaries
from tests.rig.existing import ExistingCluster
from tests.rig.images import Build, ImageStore
from tests.rig.node import Node
from tests.rig.packages import install_packages
from tests.rig.paths import REPOSITORY, RIG_SOURCES, state_directory
from tests.rig.process import run
from tests.rig.progress import step
from tests.rig.waiting import RigError
from tests.rig.wheels import wheelhouse

if TYPE_CHECKING:
    from pathlib import Path

PROJECT_IMAGES = {
    "localhost/outbox-operator:dev": "operator/Dockerfile",
    "localhost/shop:dev": "examples/shop/Dockerfile",
}
SERVERS_NAMESPACE = "shop-infra"


class Rig:
    """A cluster to test on: a node of our own, or with CLUSTER=current the one of the user's kubeconfig context.

    Objects hold no state, so any number of them may speak of the same cluster.
    """

    def __init__(self) -> None:
        chosen = os.environ.get("CLUSTER", "")
        if chosen not in ("", "own", "current"):
            raise RigError(
                f"CLUSTER={chosen} is not known: `current` for your kubeconfig's context, or unset for a node"
            )
        self._cluster: Node | ExistingCluster = ExistingCluster() if chosen == "current" else Node()
        self._images = ImageStore()

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        return self._cluster.kubeconfig

    def is_up(self) -> bool:
        """Whether the cluster answers."""
        return self._cluster.is_up()

    def up(self) -> None:
        """Bring the cluster up; does nothing when it is. What has to be built for it is built side by side."""
        if isinstance(self._cluster, Node) and not self._cluster.is_up():
            build(self._images)
        self._cluster.up()

    def down(self) -> None:
        """Take the rig's own cluster down and leave nothing of it; a cluster of the user's stays."""
        self._cluster.down()

    def kubectl(self, *arguments: str, input: str | None = None, seconds: float = 300) -> str:  # noqa: A002 - as subprocess.run
        """Run kubectl on the cluster and return its output; raises RigError with what it said when it fails."""
        return run([*self._cluster.client("kubectl"), *arguments], input_text=input, seconds=seconds)

    def helm(self, *arguments: str) -> str:
        """Run helm on the cluster, with caches of its own, and return its output; raises RigError when it fails."""
        places = {
            f"HELM_{name}_HOME": str(state_directory() / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")
        }
        return run([*self._cluster.client("helm"), *arguments], seconds=600, environment=places)

    def build_image(self, tag: str, dockerfile: Path, context: Path, **build_args: str) -> str:
        """Build a Dockerfile with the project's ARGs BASE and WHEELS, unless it is fresh; returns the image's id."""
        return build_project_image(self._images, tag, dockerfile, context, build_args)

    def load_image(self, tag: str) -> None:
        """Bring a built image into the cluster, unless it has this very one."""
        image_id = self._images.image_id(tag)
        if image_id is None:
            raise RigError(f"there is no image {tag}: build it first, `python -m tests.rig build`")
        if self._cluster.has_image(tag, image_id):
            return
        with step(f"load of {tag} into the cluster"):
            archive = state_directory() / f"image-{image_id[:12]}.tar"
            self._cluster.load(tag, image_id, lambda path: self._images.save(tag, path), archive)

    def deploy_servers(self) -> None:
        """Run RabbitMQ and PostgreSQL as pods in the namespace shop-infra and wait until both are ready."""
        for tag in self._images.server_images():
            self.load_image(tag)
        namespace = f'{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{SERVERS_NAMESPACE}"}}}}'
        self.kubectl("apply", "-f", "-", input=namespace)
        names = ("rabbitmq", "postgres")
        for name in names:
            self.kubectl("apply", "-f", str(RIG_SOURCES / "manifests" / f"{name}.yaml"))
        for name in names:
            self._wait_for_server(name)

    def _wait_for_server(self, name: str) -> None:
        try:
            self.kubectl("rollout", "status", f"statefulset/{name}", "-n", SERVERS_NAMESPACE, "--timeout=120s")
        except RigError as error:
            described = self.kubectl(
                "describe", "pods", "-n", SERVERS_NAMESPACE, "-l", f"app.kubernetes.io/name={name}"
            )
            logs = self.kubectl("logs", f"statefulset/{name}", "-n", SERVERS_NAMESPACE, "--tail=30")
            raise RigError(f"{name} did not get ready: {error}\n{described}\n{logs}") from error


def build_project_image(
    store: ImageStore, tag: str, dockerfile: Path, context: Path, build_args: dict[str, str]
) -> str:
    """Build an image on the rig's base, from wheels made here."""
    arguments = {"BASE": store.base(), **build_args}
    if wheels := wheelhouse(context, dockerfile):
        arguments["WHEELS"] = wheels
    return store.build(Build(tag, dockerfile, context, arguments))


def build(store: ImageStore) -> None:
    """Build everything that takes long and does not need a cluster, side by side; nothing that is there already."""
    install_packages()

    def images() -> None:
        store.server_images()
        for tag, dockerfile in PROJECT_IMAGES.items():
            if (REPOSITORY / dockerfile).exists():
                build_project_image(store, tag, REPOSITORY / dockerfile, REPOSITORY, {})

    with ThreadPoolExecutor(max_workers=2) as pool:
        programs = pool.submit(build_binaries)
        pool.submit(images).result()
        programs.result()
