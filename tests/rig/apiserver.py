"""A real API server without nodes, for the cluster tier: `with ApiServer() as api:` gives a kubeconfig in seconds.

Several may run at the same time. Nothing schedules or runs pods; with `with_controller_manager=True` Deployments get
their ReplicaSets, owner references are collected and namespaces are cleaned.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.rig.binaries import binary
from tests.rig.controlplane import READY_SECONDS, ControlPlane, Shape
from tests.rig.paths import state_directory
from tests.rig.process import run
from tests.rig.rundirs import run_directory

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from tests.rig.certificates import Authority


class ApiServer:
    """etcd and kube-apiserver, and on wish kube-controller-manager, on free loopback ports.

    `crds` (files or folders) are applied before the controller-manager starts, so that its garbage collector knows
    these kinds from the start; it looks for younger ones every 30 s only. Writes of `audited_users` are in `audit_log`.
    `controllers` are further flags of the controller-manager.
    """

    def __init__(
        self,
        *,
        with_controller_manager: bool = False,
        crds: tuple[Path, ...] = (),
        audited_users: tuple[str, ...] = (),
        controllers: Mapping[str, str] | None = None,
    ) -> None:
        self._with_controller_manager = with_controller_manager
        self._shape = Shape(audited_users=audited_users, controllers=controllers or {})
        self._crds = crds
        self._stack = ExitStack()
        self.directory: Path
        self.kubeconfig: Path
        self.url: str

    def __enter__(self) -> ApiServer:
        kube = binary("kube")
        with ExitStack() as stack:
            self.directory = stack.enter_context(run_directory(state_directory() / "apiservers"))
            self._plane = ControlPlane(self.directory, kube, self._shape)
            stack.callback(self._plane.stop)
            self.url = self._plane.url
            self._plane.start()
            self.kubeconfig = self._plane.write_kubeconfig(self.directory / "kubeconfig")
            for path in self._crds:
                self.kubectl("apply", "--server-side", "-f", str(path))
            if self._crds:
                self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
            if self._with_controller_manager:
                self._plane.controller_manager.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the API server process again and wait until it is ready."""
        self._plane.apiserver.start()
        self._plane.apiserver.wait_ready("ready", self._plane.ready, seconds=READY_SECONDS)

    def stop(self) -> None:
        """Stop the API server process, as an upgrade would; etcd keeps the objects."""
        self._plane.apiserver.stop(seconds=30)

    def kill(self) -> None:
        """End the API server process at once (SIGKILL); connections break."""
        self._plane.apiserver.kill()

    def restart(self) -> None:
        """Stop and start the API server process; same address, same objects."""
        self.stop()
        self.start()

    def restart_controller_manager(self) -> None:
        """Start the controller-manager anew: it sees everything at once, instead of after a growing delay."""
        self._plane.controller_manager.stop(seconds=30)
        self._plane.controller_manager.start()

    @property
    def tls(self) -> ssl.SSLContext:
        """What to speak with the API server as the admin."""
        return self._plane.tls

    @property
    def pid(self) -> int | None:
        """The id of the API server's process, None when it does not run."""
        return self._plane.apiserver.pid

    @property
    def authority(self) -> Authority:
        """Signs certificates that the API server's own clients trust."""
        return self._plane.authority

    @property
    def log(self) -> Path:
        """The API server's log, for a failed test's report."""
        return self._plane.apiserver.log

    @property
    def audit_log(self) -> Path:
        """One line of JSON for each write of an audited user."""
        return self._plane.audit_log

    def identity(self, user: str, *groups: str, server: str = "") -> Path:
        """A kubeconfig for a user of this name in these groups; `server` is another way to the API server."""
        subject = "".join(f"/O={group}" for group in groups)
        pair = self._plane.authority.issue(user, f"{subject}/CN={user}")
        return self._plane.write_kubeconfig(self.directory / f"{user}.kubeconfig", user=pair, server=server)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - the name of subprocess.run
        """Run kubectl as the admin and return its output; raises RigError with what it said when it fails."""
        argv = [str(binary("kubectl")), "--kubeconfig", str(self.kubeconfig), *arguments]
        return run(argv, input_text=input)
