"""The texts that the rig writes for other programs."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.rig import nodefiles
from tests.rig.archives import write_program_image
from tests.rig.existing import load_command
from tests.rig.waiting import RigError

PLACES = nodefiles.Places()


def test_unix_sockets_of_the_node_fit_into_an_address() -> None:
    assert (
        max(len(str(path)) for path in (PLACES.containerd_socket, PLACES.kubelet / "device-plugins/kubelet.sock")) < 107
    )


def test_containerd_keeps_its_images_where_it_is_told_and_runs_pods_on_the_imported_pause_image() -> None:
    written = tomllib.loads(nodefiles.containerd(PLACES, Path("/cache/containerd")))
    assert written["root"] == "/cache/containerd"
    assert written["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == nodefiles.PAUSE_IMAGE


def test_the_kubelet_listens_on_the_address_of_the_rig_only() -> None:
    written = json.loads(nodefiles.kubelet(PLACES, Path("/pki/ca.crt"), (15001, 15002)))
    assert (written["address"], written["port"], written["healthzPort"]) == (nodefiles.NODE_ADDRESS, 15001, 15002)


def test_what_pods_send_is_not_masqueraded() -> None:
    (plugin,) = json.loads(nodefiles.cni(PLACES))["plugins"]
    assert plugin["ipMasq"] is False


def test_a_program_image_names_its_layer_by_its_true_digest(tmp_path: Path) -> None:
    members = _written_image(tmp_path)
    (manifest,) = json.loads(members["manifest.json"])
    configuration = json.loads(members[manifest["Config"]])
    digest = hashlib.sha256(members[manifest["Layers"][0]]).hexdigest()
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{digest}"]


def test_a_program_image_is_the_same_every_time(tmp_path: Path) -> None:
    assert _written_image(tmp_path) == _written_image(tmp_path)


def test_a_program_image_holds_the_program_executable(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(_written_image(tmp_path)["layer.tar"])) as layer:
        assert [(entry.name, oct(entry.mode)) for entry in layer] == [("pause", "0o755")]


def _written_image(folder: Path) -> dict[str, bytes]:
    (folder / "pause").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\x00")
    write_program_image(folder / "image.tar", tag="localhost/pause:rig", program=folder / "pause")
    with tarfile.open(folder / "image.tar") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def test_the_users_command_for_images_gets_tag_and_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_LOAD_IMAGE", "kind load image-archive {archive} --name 'my cluster' # {image}")
    words = ["kind", "load", "image-archive", "/tmp/a.tar", "--name", "my cluster", "#", "localhost/x:1"]
    assert load_command("localhost/x:1", Path("/tmp/a.tar")) == words


def test_without_the_users_command_for_images_examples_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTER_LOAD_IMAGE", raising=False)
    with pytest.raises(RigError, match=r"CLUSTER_LOAD_IMAGE='kind load image-archive \{archive\}'"):
        load_command("localhost/x:1", Path("/tmp/a.tar"))
