"""containerd as the node's runtime, and its image store. The store is in the user's cache: images outlive the node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.rig.overlays import overlay_works
from tests.rig.process import Daemon, find_program, run
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.nodefiles import Places


class Containerd:
    """The daemon and what `ctr` can ask it. `root` holds images, `logs` log and pid file."""

    def __init__(self, places: Places, root: Path, logs: Path) -> None:
        self._places, self.root = places, root
        self.snapshotter = "overlayfs" if overlay_works(root.parent) else "native"
        self._configuration = places.runtime / "containerd.toml"
        program = str(find_program("containerd", package="containerd"))
        self.daemon = Daemon("containerd", [program, "--config", str(self._configuration)], logs)

    def start(self, configuration: str) -> None:
        """Start the daemon; `wait_ready` waits for it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._configuration.write_text(configuration)
        self.daemon.start()

    def wait_ready(self) -> None:
        """Wait until the daemon answers on its socket."""

        def answers() -> bool:
            try:
                self.ctr("version")
            except RigError:
                return False
            return True

        self.daemon.wait_ready("answers", answers, seconds=30)

    def ctr(self, *arguments: str) -> str:
        """Run containerd's own client in the kubelet's namespace."""
        program = str(find_program("ctr", package="containerd"))
        argv = [program, "-a", str(self._places.containerd_socket), "-n", "k8s.io", *arguments]
        return run(argv, seconds=300, environment={"CONTAINERD_SNAPSHOTTER": self.snapshotter})

    def loaded_id(self, tag: str) -> str | None:
        """The id of what `load` brought in last under this tag, if the store still has it."""
        known = self._loaded().get(tag)
        return known if known and tag in self.ctr("images", "ls", "-q").split() else None

    def load(self, archive: Path, tag: str, image_id: str) -> None:
        """Import a docker-archive that holds `tag`, and forget the image that had the tag before."""
        before = self._loaded().get(tag)
        self.ctr("images", "import", str(archive))
        if tag not in self.ctr("images", "ls", "-q").split():
            raise RigError(f"{archive} did not bring {tag} into the node")
        if before and before != image_id:
            self.ctr("images", "rm", f"sha256:{before}")
        self._record.write_text(json.dumps({**self._loaded(), tag: image_id}))

    @property
    def _record(self) -> Path:
        return self.root / "loaded-images.json"

    def _loaded(self) -> dict[str, str]:
        return json.loads(self._record.read_text()) if self._record.exists() else {}
