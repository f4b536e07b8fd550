"""TLS to a real broker: who is let in, who is refused, and what the error says to do."""

from __future__ import annotations

import json
import logging
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from django_outbox.doctor import broker as doctor
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable, ConfigurationError
from django_outbox.link import Link
from django_outbox.transport.base import Patience, Unsettled
from django_outbox.transport.publishing import StompTransport
from tests.contract.tls.secured import Trust, authorities, client, connects, message, refusal, showing, tls_settings
from tests.faults import frozen
from tests.rig.certificates import Pair, locked
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.hostservices import RabbitMQ

CLIENT_REQUIRED = False


def test_a_batch_larger_than_any_buffer_is_confirmed_over_tls(broker: RabbitMQ, trust: Trust, queue: str) -> None:
    messages = [message(f"/amq/queue/{queue}", json.dumps("x" * 100_000)) for _ in range(100)]
    with tls_settings(broker, **authorities(trust.authority)):
        transport = StompTransport()
        transport.connect()
        report = transport.send(messages, Patience(deadline=time.monotonic() + 30))
        transport.close()
    assert report.unsettled is None
    assert len(report.confirmed) == 100


def test_a_subscriber_reads_while_it_writes_over_tls(broker: RabbitMQ, trust: Trust, queue: str) -> None:
    with tls_settings(broker, **authorities(trust.authority)):
        sender = StompTransport()
        sender.connect()
        bodies = [json.dumps([number, "y" * 2000]) for number in range(500)]
        sender.send([message(f"/amq/queue/{queue}", body) for body in bodies], Patience(time.monotonic() + 30))
        sender.close()
        heard: list[Any] = []
        link = Link(lambda delivery: (heard.append(delivery.body), delivery.link.ack(delivery)))
        link.open()
        link.subscribe(f"/amq/queue/{queue}", {"prefetch-count": "50"})
        wait_until("all arrived", lambda: len(heard) == 500, seconds=20, state=lambda: f"{len(heard)} of 500")
        link.close()
    assert heard == bodies
    assert broker.queue_depth(queue) == 0


def test_an_authority_that_did_not_sign_is_no_proof(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, **authorities(trust.stranger)):
        assert "DEFAULT_STOMP_CA_CERTS" in refusal()


def test_without_authorities_of_its_own_a_project_trusts_the_systems(broker: RabbitMQ) -> None:
    with tls_settings(broker):
        assert "DEFAULT_STOMP_CA_CERTS" in refusal()


def test_a_certificate_for_another_name_is_refused(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, host="127.0.0.1", **authorities(trust.authority)):
        assert "DEFAULT_STOMP_HOST_AND_PORTS" in refusal()


def test_an_expired_certificate_is_refused(broker: RabbitMQ, trust: Trust) -> None:
    with showing(trust.expired) as port, tls_settings(broker, port=port, **authorities(trust.authority)):
        words = refusal()
    assert "expired" in words
    assert "Renew" in words


def test_the_second_host_is_tried_when_the_first_one_shows_a_certificate_that_is_not_trusted(
    broker: RabbitMQ, trust: Trust
) -> None:
    hosts = [("127.0.0.1", broker.stomp_tls_port), ("localhost", broker.stomp_tls_port)]
    with tls_settings(broker, DEFAULT_STOMP_HOST_AND_PORTS=hosts, **authorities(trust.authority)):
        transport = StompTransport()
        transport.connect()
        assert transport.host == f"localhost:{broker.stomp_tls_port}"
        transport.close()


def test_neither_password_is_in_an_error_a_repr_or_a_log(
    broker: RabbitMQ, trust: Trust, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own = locked(trust.client, tmp_path / "locked.key", "key-secret")
    told = {**authorities(trust.authority), **client(own)}
    with tls_settings(broker, DEFAULT_STOMP_PASSCODE="wrong-secret", DEFAULT_STOMP_SSL_PASSWORD="key-secret", **told):
        transport = StompTransport()
        with pytest.raises(BrokerRefused) as caught:
            transport.connect()
        said = [str(caught.value), repr(caught.value), repr(transport)]
    with (
        tls_settings(broker, DEFAULT_STOMP_SSL_PASSWORD="another-secret", **told),
        pytest.raises(ConfigurationError, match="DEFAULT_STOMP_SSL_PASSWORD") as misfit,
    ):
        transport.connect()
    assert "-secret" not in " ".join([*said, str(misfit.value), caplog.text])


def test_verification_can_be_switched_off(broker: RabbitMQ) -> None:
    with tls_settings(broker, host="127.0.0.1", DEFAULT_STOMP_SSL_VERIFY=False):
        assert connects()


def test_a_key_that_does_not_fit_its_certificate_is_a_configuration_error(broker: RabbitMQ, trust: Trust) -> None:
    odd = Pair(trust.client.certificate, trust.server.key)
    with (
        tls_settings(broker, **authorities(trust.authority), **client(odd)),
        pytest.raises(ConfigurationError, match="DEFAULT_STOMP_CERT_FILE"),
    ):
        StompTransport().connect()


def test_a_check_of_the_projects_own_has_the_last_word(broker: RabbitMQ, trust: Trust) -> None:
    seen: list[tuple[Any, str]] = []

    def validator(certificate: Any, host: str) -> tuple[bool, str]:
        seen.append((certificate, host))
        return False, "not this one"

    with tls_settings(broker, **authorities(trust.authority), DEFAULT_STOMP_CERT_VALIDATOR=validator):
        assert "not this one" in refusal()
    assert seen[0][1] == "localhost"
    assert seen[0][0]["subject"]


def test_the_port_without_tls_is_recognised(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, port=broker.stomp_port, **authorities(trust.authority)):
        assert "TLS port" in refusal()


def test_an_older_protocol_can_be_asked_for(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, **authorities(trust.authority), DEFAULT_STOMP_SSL_VERSION=ssl.PROTOCOL_TLS_CLIENT):
        transport = StompTransport()
        transport.connect()
        transport.close()


def test_a_broker_that_stops_reading_over_tls_is_given_up(broker: RabbitMQ, trust: Trust, queue: str) -> None:
    messages = [message(f"/amq/queue/{queue}", json.dumps("x" * 1_000_000)) for _ in range(20)]
    with tls_settings(broker, **authorities(trust.authority)):
        transport = StompTransport()
        transport.connect()
        began = time.monotonic()
        with frozen(broker):
            report = transport.send(messages, Patience(deadline=began + 30))
        assert report.unsettled is Unsettled.TIMEOUT
        assert time.monotonic() - began < 10
        assert not transport.is_connected()


def test_a_broker_that_dies_is_noticed_over_tls(broker: RabbitMQ, trust: Trust, queue: str) -> None:
    with tls_settings(broker, **authorities(trust.authority)):
        transport = StompTransport()
        transport.connect()
        broker.kill()
        try:
            wait_until("the loss is noticed", lambda: not transport.is_connected(), seconds=5)
            with pytest.raises(BrokerUnavailable):
                transport.connect()
        finally:
            broker.start()
        transport.connect()
        transport.close()


def test_the_doctor_tells_the_session_and_how_long_the_certificate_lasts(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, **authorities(trust.authority)):
        (verified,) = [finding for finding in doctor.examine() if finding.name == "TLS"]
    with tls_settings(broker, DEFAULT_STOMP_SSL_VERIFY=False):
        (unverified,) = [finding for finding in doctor.examine() if finding.name == "TLS"]
    assert (verified.level, verified.message[:5]) == ("ok", "TLSv1")
    assert "is verified and good for" in verified.message
    assert (unverified.level, unverified.message[:5]) == ("warn", "TLSv1")
