"""A broker that lets in only who has a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.tls.secured import Trust, authorities, client, connects, refusal, tls_settings

if TYPE_CHECKING:
    from tests.rig.hostservices import RabbitMQ

CLIENT_REQUIRED = True


def test_a_client_certificate_opens_the_door(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, **authorities(trust.authority), **client(trust.client)):
        assert connects()


def test_who_has_no_client_certificate_is_told_to_get_one(broker: RabbitMQ, trust: Trust) -> None:
    with tls_settings(broker, **authorities(trust.authority)):
        assert "DEFAULT_STOMP_CERT_FILE" in refusal()


def test_a_client_certificate_of_a_stranger_is_not_accepted(broker: RabbitMQ, trust: Trust) -> None:
    foreign = trust.stranger.issue("foreign", "/CN=worker")
    with tls_settings(broker, **authorities(trust.authority), **client(foreign)):
        assert "DEFAULT_STOMP_CERT_FILE" in refusal()
