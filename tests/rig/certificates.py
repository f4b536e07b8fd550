"""Keys, certificates and kubeconfigs of a control plane, made with the openssl program.

Three authorities, as in a real cluster: Kubernetes' own, one for etcd and one for the aggregation layer, so that a
client certificate of one is worth nothing to another.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.rig.process import find_program, run

if TYPE_CHECKING:
    from pathlib import Path

_CONFIGURATION = """[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_DAYS = ["-days", "3650"]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a directory; makes it on first use."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._openssl = str(find_program("openssl", package="openssl"))
        self.pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
        self._configuration = directory / f"{name}.cnf"
        self._configuration.write_text(_CONFIGURATION)
        if not self.pair.certificate.exists():
            argv = [
                self._openssl,
                "req",
                "-x509",
                "-config",
                str(self._configuration),
                *_KEY,
                *_DAYS,
                "-subj",
                f"/CN={name}",
            ]
            run([*argv, "-keyout", str(self.pair.key), "-out", str(self.pair.certificate)])

    def issue(self, name: str, subject: str, *, names: tuple[str, ...] = (), days: int = 3650) -> Pair:
        """A certificate for `subject` (like `/O=group/CN=user`), valid for servers and clients.

        `names` are its subject alternative names, as `DNS:name` or `IP:address`. It is valid for `days`, and expired
        where they are negative.
        """
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        lines = ["keyUsage = critical,digitalSignature,keyEncipherment", "extendedKeyUsage = serverAuth,clientAuth"]
        if names:
            lines.append(f"subjectAltName = {','.join(names)}")
        extensions.write_text("\n".join(lines) + "\n")
        argv = [self._openssl, "req", "-new", "-config", str(self._configuration), *_KEY, "-subj", subject]
        run([*argv, "-keyout", str(pair.key), "-out", str(request)])
        argv = [self._openssl, "x509", "-req", "-in", str(request), "-CA", str(self.pair.certificate)]
        argv += ["-CAkey", str(self.pair.key), "-CAcreateserial", "-days", str(days), "-extfile", str(extensions)]
        run([*argv, "-out", str(pair.certificate)])
        return pair


def locked(pair: Pair, path: Path, password: str) -> Pair:
    """The same certificate with its key in `path`, which this password opens."""
    openssl = str(find_program("openssl", package="openssl"))
    run([openssl, "pkey", "-in", str(pair.key), "-aes256", "-passout", f"pass:{password}", "-out", str(path)])
    return Pair(pair.certificate, path)


def signing_key(directory: Path, name: str) -> Pair:
    """A bare key pair, for service account tokens; `certificate` is the public key."""
    pair = Pair(directory / f"{name}.pub", directory / f"{name}.key")
    openssl = str(find_program("openssl", package="openssl"))
    run([openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", str(pair.key)])
    run([openssl, "pkey", "-in", str(pair.key), "-pubout", "-out", str(pair.certificate)])
    return pair


def write_kubeconfig(path: Path, *, server: str, authority: Pair, user: Pair, name: str = "rig") -> Path:
    """A kubeconfig that needs no other file; JSON, which every reader of YAML takes."""

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    credentials = {"client-certificate-data": embedded(user.certificate), "client-key-data": embedded(user.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": embedded(authority.certificate)}}
        ],
        "users": [{"name": name, "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))
    return path
