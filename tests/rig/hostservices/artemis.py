"""ActiveMQ Artemis as a process of this machine: the project's own archive, fetched by Maven and checked.

The archive is kept in the user's cache under its version. Brokers run from one unpacked copy beside their data, which
the broker's own user can read wherever the cache may be.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from tests.rig.binaries import exclusively
from tests.rig.hostservices.common import HOST, START_SECONDS, own, run_as, services_directory
from tests.rig.hostservices.java import MEMORY, java
from tests.rig.paths import cache_directory
from tests.rig.process import Daemon, find_program, free_port, port_open, run
from tests.rig.progress import step
from tests.rig.waiting import RigError

VERSION = "2.40.0"
SHA256 = "3add67e7b0af89f81eac1e6c577427b049b4e7502fb278c591838465d5ca93b5"

_ARCHIVE = f"apache-artemis-{VERSION}-bin.tar.gz"
_MAVEN_SECONDS = 600
# The settings for addresses are those that `artemis create` writes.
_BROKER = """<configuration xmlns="urn:activemq">
 <core xmlns="urn:activemq:core">
  <name>rig</name>
  <persistence-enabled>true</persistence-enabled>
  <journal-type>NIO</journal-type>
  <journal-datasync>false</journal-datasync>
  <journal-min-files>2</journal-min-files>
  <journal-pool-files>4</journal-pool-files>
  <journal-file-size>4M</journal-file-size>
  <paging-directory>{data}/paging</paging-directory>
  <bindings-directory>{data}/bindings</bindings-directory>
  <journal-directory>{data}/journal</journal-directory>
  <large-messages-directory>{data}/large</large-messages-directory>
  <max-disk-usage>-1</max-disk-usage>
  <critical-analyzer>false</critical-analyzer>
  <global-max-size>64M</global-max-size>
  <acceptors>
   <acceptor name="stomp">tcp://{host}:{port}?protocols=STOMP;useEpoll=false</acceptor>
  </acceptors>
  <security-settings>
   <security-setting match="#">{permissions}</security-setting>
  </security-settings>
  <address-settings>
   <address-setting match="#">
    <dead-letter-address>DLQ</dead-letter-address>
    <expiry-address>ExpiryQueue</expiry-address>
    <auto-create-queues>true</auto-create-queues>
    <auto-create-addresses>true</auto-create-addresses>
    <auto-delete-queues>false</auto-delete-queues>
    <auto-delete-addresses>false</auto-delete-addresses>
   </address-setting>
  </address-settings>
  <addresses>
   <address name="DLQ"><anycast><queue name="DLQ"/></anycast></address>
   <address name="ExpiryQueue"><anycast><queue name="ExpiryQueue"/></anycast></address>
  </addresses>
 </core>
</configuration>
"""
_PERMISSIONS = (
    "createNonDurableQueue",
    "deleteNonDurableQueue",
    "createDurableQueue",
    "deleteDurableQueue",
    "createAddress",
    "deleteAddress",
    "consume",
    "browse",
    "send",
)
_BOOTSTRAP = """<broker xmlns="http://activemq.apache.org/schema">
 <jaas-security domain="activemq"/>
 <server configuration="file:{etc}/broker.xml"/>
</broker>
"""
_LOGIN = """activemq {
 org.apache.activemq.artemis.spi.core.security.jaas.PropertiesLoginModule required
  org.apache.activemq.jaas.properties.user="artemis-users.properties"
  org.apache.activemq.jaas.properties.role="artemis-roles.properties";
};
"""
_LOGGING = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5level [%logger] %msg%n
"""


def _archive() -> Path:
    """The archive in the user's cache, fetched on first use; raises RigError when it is not the one we know."""
    folder = cache_directory() / f"artemis-{VERSION}"
    archive = folder / _ARCHIVE
    if not archive.exists():
        folder.mkdir(exist_ok=True)
        maven = find_program("mvn", package="maven")
        with step(f"fetching Artemis {VERSION} (once)"), tempfile.TemporaryDirectory(dir=folder) as work:
            artifact = f"org.apache.activemq:apache-artemis:{VERSION}:tar.gz:bin"
            argv = [str(maven), "-B", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={work}"]
            run(argv, seconds=_MAVEN_SECONDS)
            (Path(work) / _ARCHIVE).rename(archive)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise RigError(f"{archive} is not Artemis {VERSION}: its SHA-256 is {found}. Remove it and try again.")
    return archive


def artemis_home() -> Path:
    """The unpacked program; a run that unpacks holds a lock, others wait for it."""
    home = services_directory() / f"artemis-{VERSION}"
    if home.exists():
        return home
    with exclusively(services_directory() / "artemis.lock"):
        if not home.exists():
            work = Path(tempfile.mkdtemp(prefix="artemis-tmp-", dir=services_directory()))
            work.chmod(0o755)
            run(["tar", "-xzf", str(_archive()), "--no-same-owner", "-C", str(work)])
            (work / f"apache-artemis-{VERSION}").rename(home)
            shutil.rmtree(work)
    return home


class Artemis:
    """One Artemis broker with STOMP as `artemis create` sets it up; data stays over stop, kill and start."""

    username = "outbox"
    passcode = "outbox-secret"
    vhost = "/"
    host = HOST

    def __init__(self, directory: Path) -> None:
        program, home = java(), artemis_home()
        self.directory = directory
        self.user = run_as("activemq")
        self.stomp_port = free_port()
        self._etc = directory / "etc"
        properties = {
            "artemis.home": home,
            "artemis.instance": directory,
            "artemis.instance.etc": self._etc,
            "data.dir": directory / "data",
            "java.io.tmpdir": directory,
            "java.security.auth.login.config": self._etc / "login.config",
            "log4j2.disableJmx": "true",
        }
        argv = [program, *MEMORY, *(f"-D{name}={value}" for name, value in properties.items())]
        argv += [
            "-classpath",
            str(home / "lib" / "artemis-boot.jar"),
            "org.apache.activemq.artemis.boot.Artemis",
            "run",
        ]
        environment = {"ARTEMIS_HOME": str(home), "ARTEMIS_INSTANCE": str(directory)}
        self._server = Daemon("artemis", argv, directory, environment, user=self.user)

    def start(self) -> None:
        """Start the broker and wait until STOMP answers."""
        own(self.directory, self.user)
        own(self._etc, self.user)
        permissions = "".join(f'<permission type="{name}" roles="users"/>' for name in _PERMISSIONS)
        files = {
            "broker.xml": _BROKER.format(
                data=self.directory / "data", host=HOST, port=self.stomp_port, permissions=permissions
            ),
            "bootstrap.xml": _BOOTSTRAP.format(etc=self._etc),
            "login.config": _LOGIN,
            "artemis-users.properties": f"{self.username} = {self.passcode}\n",
            "artemis-roles.properties": f"users = {self.username}\n",
            "management.xml": '<management-context xmlns="http://activemq.apache.org/schema"/>\n',
            "log4j2.properties": _LOGGING,
        }
        for name, text in files.items():
            (self._etc / name).write_text(text)
        self._server.start()
        self._server.wait_ready("STOMP answers", lambda: port_open(self.stomp_port), seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop in good order (SIGTERM)."""
        self._server.stop(seconds=40)

    def kill(self) -> None:
        """End the broker like a power cut would (SIGKILL)."""
        self._server.kill()

    def restart(self) -> None:
        """Stop in good order and start again on the same port."""
        self.stop()
        self.start()

    @property
    def pid(self) -> int | None:
        """The id of the broker's process, None when it does not run."""
        return self._server.pid
