"""Bring the shop up, one step a function, in the order in which `everything` calls them; all may be repeated.

The order matters once: the Subscription is Ready, and so its queue declared, before the first order is placed. A broker
drops what is sent to a topic that no queue is bound to.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from examples.shop.demo import evidence, traffic
from examples.shop.demo.cluster import INFRA, OPERATOR, SHOP
from examples.shop.demo.waits import wait_for, wait_ready
from tests.rig.progress import say, step
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "examples" / "shop" / "k8s"
CHART = ROOT / "charts" / "outbox-operator"
OPERATOR_IMAGE = "localhost/outbox-operator"
SHOP_IMAGE = "localhost/shop"
TAG = "dev"
RELEASE = "outbox"


def everything(cluster: Cluster) -> None:
    """Bring up cluster, images, servers, operator and services, and at last our two resources, Ready."""
    with step("Cluster"):
        cluster.rig.up()
    if os.environ.get("KEEP_IMAGES") and cluster.get("deployment", "orders"):
        say("KEEP_IMAGES is set: the images that the cluster has are used, whatever has changed since")
    else:
        with step("Images"):
            images = load_images(cluster)
        with step("RabbitMQ and PostgreSQL, as pods"):
            cluster.rig.deploy_servers()
        with step("Operator, by helm"):
            install_operator(cluster, "--set-string", f"podAnnotations.image-id={images[OPERATOR_IMAGE]}")
        with step("The services orders and billing"):
            replace_stale_pods(cluster, images[SHOP_IMAGE])
            install_services(cluster)
    for name in ("publisher.yaml", "subscription.yaml"):
        show_and_apply(cluster, MANIFESTS / name)
    with step("Publisher and Subscription become Ready"):
        wait_resources_ready(cluster)


def load_images(cluster: Cluster) -> dict[str, str]:
    """Build the operator's image and the shop's and bring them into the cluster; returns the id of each."""
    ids: dict[str, str] = {}
    for name, dockerfile in ((OPERATOR_IMAGE, "operator/Dockerfile"), (SHOP_IMAGE, "examples/shop/Dockerfile")):
        ids[name] = cluster.rig.build_image(f"{name}:{TAG}", ROOT / dockerfile, ROOT)
        cluster.rig.load_image(f"{name}:{TAG}")
    return ids


def install_operator(cluster: Cluster, *more: str) -> None:
    """Install or upgrade the operator's chart, in a namespace with restricted pod security."""
    cluster.apply(json.dumps(_restricted_namespace(OPERATOR)))
    _clear_interrupted_release(cluster)
    image = ["--set", f"image.repository={OPERATOR_IMAGE}", "--set", f"image.tag={TAG}"]
    wait = ["--wait", "--timeout", "2m"]
    try:
        cluster.rig.helm("upgrade", "--install", RELEASE, str(CHART), "--namespace", OPERATOR, *image, *wait, *more)
    except RigError as error:
        raise RigError(f"{error}\n{evidence.of_operator(cluster)}") from error


def _clear_interrupted_release(cluster: Cluster) -> None:
    """Uninstall a release whose installation was interrupted: helm refuses to go on with it. Workers do not notice."""
    pending = cluster.rig.helm("list", "--pending", "--short", "--namespace", OPERATOR)
    if RELEASE in pending.split():
        cluster.rig.helm("uninstall", RELEASE, "--namespace", OPERATOR, "--wait")


def replace_stale_pods(cluster: Cluster, image_id: str) -> None:
    """Delete the shop's pods of an earlier build: the tag stays the same, so nothing else would replace them."""
    for pod in cluster.objects("pods"):
        running = [status["imageID"] for status in pod["status"].get("containerStatuses", [])]
        if not all(image_id in image for image in running):
            cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", SHOP, "--ignore-not-found")


def install_services(cluster: Cluster) -> None:
    """Deploy orders and billing: configuration, migrations to their end, then the web Deployment until it answers."""
    for name in ("namespace.yaml", "config.yaml"):
        cluster.apply(MANIFESTS / name)
    migrate(cluster)
    cluster.apply(MANIFESTS / "orders.yaml")
    wait_for(cluster, "the orders service answers", lambda: _available(cluster, "orders"), seconds=180)


def migrate(cluster: Cluster) -> None:
    """Run both migration Jobs anew: a Job that is done would not look at the image again."""
    cluster.kubectl("delete", "-f", str(MANIFESTS / "migrate.yaml"), "--ignore-not-found", "--wait=true")
    cluster.apply(MANIFESTS / "migrate.yaml")
    for job in ("orders-migrate", "billing-migrate"):
        wait_for(cluster, f"the Job {job} is complete", partial(_complete, cluster, job), seconds=180)


def show_and_apply(cluster: Cluster, manifest: Path) -> None:
    """Print a manifest to the reader, then apply it."""
    say(f"kubectl apply -f {manifest.relative_to(ROOT)}")
    print("\n" + "\n".join(f"    {line}" for line in manifest.read_text().splitlines()) + "\n", flush=True)
    cluster.apply(manifest)


def wait_resources_ready(cluster: Cluster) -> None:
    """Wait until both resources say that their workers do their work."""
    wait_ready(cluster, "subscription", traffic.SUBSCRIPTION)
    wait_ready(cluster, "publisher", traffic.PUBLISHER)


def take_down(cluster: Cluster) -> None:
    """Take the rig's cluster down; of a cluster of the user's, only what the demo put there."""
    if os.environ.get("CLUSTER") == "current":
        for namespace in (SHOP, INFRA):
            cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found")
        cluster.rig.helm("uninstall", RELEASE, "--namespace", OPERATOR, "--ignore-not-found")
        cluster.kubectl("delete", "namespace", OPERATOR, "--ignore-not-found")
        say("The CRDs stay, as the chart leaves them: others may use them. To remove them as well:")
        say("kubectl delete crd publishers.djangooutbox.io subscriptions.djangooutbox.io")
    cluster.rig.down()


def _available(cluster: Cluster, deployment: str) -> bool:
    """Whether a Deployment's newest template runs and is available."""
    found = cluster.get("deployment", deployment, SHOP)
    if found is None or found["status"].get("observedGeneration") != found["metadata"]["generation"]:
        return False
    counts = [found["status"].get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [found["spec"]["replicas"]] * 3


def _complete(cluster: Cluster, job: str) -> bool:
    found = cluster.get("job", job) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Complete" and entry["status"] == "True" for entry in conditions)


def _restricted_namespace(name: str) -> dict[str, object]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
