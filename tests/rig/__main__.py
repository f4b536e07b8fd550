"""`python -m tests.rig`: the rig from the command line. See tests/rig/README.md."""

from __future__ import annotations

import argparse
import sys

from tests.rig import hostservices
from tests.rig.images import ImageStore
from tests.rig.keda import keda_build, keda_crds
from tests.rig.node import Node
from tests.rig.packages import install_packages
from tests.rig.paths import state_directory
from tests.rig.progress import say
from tests.rig.rig import Rig, build
from tests.rig.waiting import RigError


def _apt(_: argparse.Namespace) -> None:
    installed = install_packages()
    say(f"installed: {' '.join(installed)}" if installed else "all Debian packages are there")


def _servers(arguments: argparse.Namespace) -> None:
    if arguments.action == "down":
        hostservices.servers_down()
        return
    found = hostservices.servers_up() if arguments.action == "up" else hostservices.servers_environment()
    if not found:
        raise RigError("the servers do not run: `python -m tests.rig servers up` starts them")
    for name, value in found.items():
        print(f"export {name}={value}")


def _up(_: argparse.Namespace) -> None:
    Rig().up()


def _down(_: argparse.Namespace) -> None:
    Rig().down()


def _build(_: argparse.Namespace) -> None:
    build(ImageStore())
    say("everything is built")


def _build_keda(_: argparse.Namespace) -> None:
    keda_build().folder()
    keda_crds()
    say("KEDA is built")


def _images(_: argparse.Namespace) -> None:
    print(ImageStore().buildah("images"), end="")


def _env(_: argparse.Namespace) -> None:
    print(f"export KUBECONFIG={Rig().kubeconfig}")
    print(f"export PATH={state_directory() / 'bin'}:$PATH")


def _status(_: argparse.Namespace) -> None:
    for name, pid in Node().status().items():
        print(f"{name:26}{pid or 'not running'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.rig", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    apt = commands.add_parser("apt", help="install the missing Debian packages (root)")
    apt.set_defaults(run=_apt)
    for name, function, text in (
        ("up", _up, "bring the Kubernetes node up"),
        ("down", _down, "take it down and leave nothing behind"),
        ("build", _build, "build programs and images, so that `up` is quick"),
        ("build-keda", _build_keda, "build KEDA's programs, for the tests of autoscaling"),
        ("env", _env, "what to `eval` for kubectl and helm on the cluster"),
        ("images", _images, "the images of the rig's store"),
        ("status", _status, "which of its programs run"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=function)
    servers = commands.add_parser("servers", help="RabbitMQ and PostgreSQL on this machine, for people")
    servers.add_argument("action", choices=["up", "down", "env"])
    servers.set_defaults(run=_servers)
    return parser


def main() -> int:
    """Run one command; an error of the rig's is told in plain words and gives exit code 1."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
