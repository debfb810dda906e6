"""The Kafka bus's settings and its logs."""

import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.bus import KafkaBus, KafkaOptions
from shared.bus.kafka_client import Calm, connection, quieten

PASSWORD = "open sesame"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_KAFKA_PARTITIONS", "12")
    monkeypatch.setenv("GROUNDSWELL_KAFKA_REPLICATION", "3")
    options = KafkaOptions()
    assert (options.partitions, options.replication) == (12, 3)


def test_every_setting_says_what_it_is() -> None:
    for name, field in KafkaOptions.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"security_protocol": "TLS"}, "SASL_SSL"),
        ({"security_protocol": "SASL_SSL"}, "set GROUNDSWELL_KAFKA_SASL_USERNAME"),
        (
            {"session_seconds": 1.0, "heartbeat_seconds": 1.0},
            "raise GROUNDSWELL_KAFKA_SESSION_SECONDS",
        ),
    ],
)
def test_a_bad_setting_is_refused_with_a_sentence(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        KafkaOptions.model_validate(wrong)


def secured() -> KafkaOptions:
    return KafkaOptions.model_validate(
        {
            "security_protocol": "SASL_SSL",
            "sasl_username": "groundswell",
            "sasl_password": PASSWORD,
        }
    )


def test_a_password_is_in_no_text() -> None:
    options = secured()
    bus = KafkaBus("kafka:9092", options)
    assert PASSWORD not in f"{options!r} {options} {bus!r} {options.model_dump_json()}"


def test_a_secured_connection_checks_certificates_and_logs_in() -> None:
    arguments = connection("one:9093, two:9093", secured())
    assert arguments["bootstrap_servers"] == ["one:9093", "two:9093"]
    assert arguments["ssl_context"].check_hostname
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_password"] == PASSWORD


def test_a_missing_certificate_is_found_at_the_start(tmp_path: Path) -> None:
    options = KafkaOptions(security_protocol="SSL", ca_file=tmp_path / "ca.pem")
    with pytest.raises(FileNotFoundError):
        KafkaBus("kafka:9093", options)


def test_a_flood_of_the_client_library_is_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quieten()
    chatty = logging.getLogger("aiokafka.consumer.group_coordinator")
    for attempt in range(100):
        chatty.error("Heartbeat of %s failed in a test", attempt)
        chatty.info("Joined in a test")
    assert [record.getMessage() for record in caplog.records] == ["Heartbeat of 0 failed in a test"]


def test_a_message_is_let_through_again_after_its_pause() -> None:
    calm = Calm(every_seconds=0.0)
    record = logging.makeLogRecord({"name": "aiokafka", "msg": "again"})
    assert calm.filter(record)
    assert calm.filter(record)
