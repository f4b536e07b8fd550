"""ActiveMQ Classic as a process of this machine: Debian's package, with a configuration of its own."""

from __future__ import annotations

from pathlib import Path

from tests.rig.hostservices.common import HOST, START_SECONDS, own, run_as
from tests.rig.hostservices.java import MEMORY, java
from tests.rig.process import Daemon, free_port, port_open
from tests.rig.waiting import MissingProgramError

# A queue that the user may not write to. What patterns grant adds up, so none of them takes it in.
FORBIDDEN = "forbidden.to.all"

_HOME = Path("/usr/share/activemq")
# The scheduler delays messages; the journal is synced now and then: a killed process loses nothing by that.
_CONFIGURATION = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="rig" useJmx="false" schedulerSupport="true"
          dataDirectory="{data}" persistent="true">
    <persistenceAdapter>
      <kahaDB directory="{data}/kahadb" journalMaxFileLength="8mb" journalDiskSyncStrategy="periodic"/>
    </persistenceAdapter>
    <plugins>
      <simpleAuthenticationPlugin>
        <users><authenticationUser username="{username}" password="{passcode}" groups="users"/></users>
      </simpleAuthenticationPlugin>
      <authorizationPlugin>
        <map>
          <authorizationMap>
            <authorizationEntries>
              <authorizationEntry queue="*" read="users" write="users" admin="users"/>
              <authorizationEntry queue="*.*" read="users" write="users" admin="users"/>
              <authorizationEntry queue="Consumer.>" read="users" write="users" admin="users"/>
              <authorizationEntry queue="DLQ.>" read="users" write="users" admin="users"/>
              <authorizationEntry topic=">" read="users" write="users" admin="users"/>
            </authorizationEntries>
            <tempDestinationAuthorizationEntry>
              <tempDestinationAuthorizationEntry read="users" write="users" admin="users"/>
            </tempDestinationAuthorizationEntry>
          </authorizationMap>
        </map>
      </authorizationPlugin>
    </plugins>
    <systemUsage>
      <systemUsage>
        <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
        <storeUsage><storeUsage limit="512 mb"/></storeUsage>
        <tempUsage><tempUsage limit="64 mb"/></tempUsage>
        <jobSchedulerUsage><jobSchedulerUsage limit="64 mb"/></jobSchedulerUsage>
      </systemUsage>
    </systemUsage>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://{host}:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""


class ActiveMQ:
    """One ActiveMQ Classic broker with STOMP; data stays over stop, kill and start. Topics are as the default says."""

    username = "outbox"
    passcode = "outbox-secret"
    vhost = "/"
    host = HOST

    def __init__(self, directory: Path) -> None:
        if not (_HOME / "bin" / "activemq.jar").exists():
            raise MissingProgramError("ActiveMQ is not installed: `python -m tests.rig apt` as root")
        self.directory = directory
        self.user = run_as("activemq")
        self.stomp_port = free_port()
        self._configuration = directory / "activemq.xml"
        places = {"home": _HOME, "base": directory, "conf": directory, "data": directory / "data"}
        argv = [java(), *MEMORY, *(f"-Dactivemq.{name}={place}" for name, place in places.items())]
        argv += [f"-Djava.io.tmpdir={directory}", "-jar", str(_HOME / "bin" / "activemq.jar")]
        self._server = Daemon(
            "activemq", [*argv, "start", f"xbean:file:{self._configuration}"], directory, user=self.user
        )

    def start(self) -> None:
        """Start the broker and wait until STOMP answers."""
        own(self.directory, self.user)
        self._configuration.write_text(
            _CONFIGURATION.format(
                data=self.directory / "data",
                username=self.username,
                passcode=self.passcode,
                host=HOST,
                port=self.stomp_port,
            )
        )
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
