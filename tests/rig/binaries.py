"""The node's programs, built from the Go module in tests/rig/go and kept in the user's cache.

One `go build` makes them all: Helm, CoreDNS and Kubernetes share two thirds of their packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig import gobuild
from tests.rig.gobuild import GoBuild, exclusively, module_version
from tests.rig.paths import RIG_SOURCES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["binary", "build_binaries", "cache_key", "exclusively", "find_go", "kubernetes_version", "module_version"]

_MODULE = RIG_SOURCES / "go"
_PACKAGES = ("./cmd/kube", "./cmd/coredns", "./cmd/pause", "helm.sh/helm/v3/cmd/helm")


def _go_mod() -> str:
    return (_MODULE / "go.mod").read_text()


def kubernetes_version() -> str:
    """Kubernetes' version, as go.mod pins it."""
    return module_version(_go_mod(), "k8s.io/kubernetes")


def _link_flags() -> str:
    kubernetes, helm = kubernetes_version(), module_version(_go_mod(), "helm.sh/helm/v3")
    major, minor = kubernetes.lstrip("v").split(".")[:2]
    values = {"helm.sh/helm/v3/internal/version.version": helm}
    for package in ("component-base/version", "client-go/pkg/version"):
        stamps = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}
        values |= {f"k8s.io/{package}.{name}": value for name, value in stamps.items()}
    # What `helm template` and `helm lint` take the cluster's version to be when they have none.
    for package in ("chartutil", "lint/rules"):
        stamps = {"k8sVersionMajor": major, "k8sVersionMinor": minor}
        values |= {f"helm.sh/helm/v3/pkg/{package}.{name}": value for name, value in stamps.items()}
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def _programs() -> GoBuild:
    what = f"Kubernetes {kubernetes_version()}, Helm, CoreDNS"
    return GoBuild("bin", what, _MODULE, _PACKAGES, _link_flags(), links=(("kubectl", "kube"),))


def cache_key() -> str:
    """Twelve hexadecimal digits over everything the programs are made of."""
    return _programs().cache_key()


def binary(name: str) -> Path:
    """The path of `kube`, `kubectl`, `helm`, `coredns` or `pause`; builds them all when they are not in the cache."""
    return build_binaries() / name


def build_binaries() -> Path:
    """The folder with the programs; a run that builds holds a lock, others wait for it."""
    return _programs().folder()


def find_go() -> Path:
    """A Go that is new enough for the node's programs; see `gobuild.find_go`."""
    return gobuild.find_go(_go_mod())
