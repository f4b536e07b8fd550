"""Images of one static program each, written as an archive without any tool: the pause image and CoreDNS."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_program_image(archive: Path, *, tag: str, program: Path) -> None:
    """Write a docker-archive of an image whose only file and entrypoint is `program`. Same input, same bytes."""
    name = program.name
    layer = _tar({name: (program.read_bytes(), 0o755)})
    configuration = {
        "architecture": _architecture(program),
        "os": "linux",
        "config": {"Entrypoint": [f"/{name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "test rig"}],
    }
    encoded = json.dumps(configuration, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    files = {config_name: encoded, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    archive.write_bytes(_tar({path: (content, 0o644) for path, content in files.items()}))


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            target.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _architecture(program: Path) -> str:
    """The architecture in the program's ELF header, in the images' words."""
    with program.open("rb") as file:
        header = file.read(20)
    return {0x3E: "amd64", 0xB7: "arm64"}.get(int.from_bytes(header[18:20], "little"), "amd64")
