"""Topics that are made, logins, places that are kept over a restart, and how quick it is."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from shared.bus import KafkaBus, KafkaOptions
from shared.outbox import LARGEST
from tests.engines.kafka_broker import PASSWORD, USER, Broker
from tests.kafka.traffic import started
from tests.shared.test_bus_contract import QUICK, after, numbers, record, take


async def settings_of(servers: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (described,) = await admin.describe_topics([topic])
    await admin.close()
    settings = {setting[0]: setting[1] for setting in answer.resources[0][4]}
    return {**settings, "partitions": str(len(described["partitions"]))}


# -- topics --------------------------------------------------------------------------------------


async def test_missing_topics_are_made_as_configured(servers: str, topic: str) -> None:
    options = KafkaOptions(partitions=3, retention_days=2)
    async with started(servers, options) as bus:
        await bus.ensure_topics([topic])
    settings = await settings_of(servers, topic)
    assert settings["partitions"] == "3"
    assert settings["retention.ms"] == str(2 * 24 * 3600 * 1000)
    assert int(settings["max.message.bytes"]) > LARGEST


async def test_topics_are_made_once_however_many_ask(servers: str, topic: str) -> None:
    buses = [KafkaBus(servers, QUICK) for _ in range(4)]
    topics = [topic, f"{topic}.other"]
    await asyncio.gather(*(bus.ensure_topics(topics) for bus in buses for _ in range(2)))
    for bus in buses:
        await bus.stop()
    assert (await settings_of(servers, topic))["partitions"] == str(QUICK.partitions)


async def test_a_topic_that_is_there_is_left_as_it_is(servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    async with started(servers, QUICK) as bus:
        await bus.ensure_topics([topic])
        await bus.send([record(topic, f"k{n}", n) for n in range(20)])
        taken = await take(await bus.join(f"{topic}.group", [topic]), 20)
    assert {one.partition.number for one in taken} == {0, 1}


async def test_a_topic_that_can_not_be_made_says_why(servers: str, topic: str) -> None:
    options = KafkaOptions(replication=9)
    async with started(servers, options) as bus:
        with pytest.raises(KafkaError, match="GROUNDSWELL_KAFKA_REPLICATION"):
            await bus.ensure_topics([topic])


# -- security ------------------------------------------------------------------------------------


def login(authority: Path, password: str) -> KafkaOptions:
    return QUICK.model_copy(
        update={
            "security_protocol": "SASL_SSL",
            "sasl_username": USER,
            "sasl_password": SecretStr(password),
            "ca_file": authority,
        }
    )


async def test_records_travel_over_tls_with_a_login(secured: Broker, topic: str) -> None:
    servers = f"127.0.0.1:{secured.secured_port}"
    async with started(servers, login(secured.authority, PASSWORD)) as bus:
        await bus.send([record(topic, "a", 1)])
        assert numbers(await take(await bus.join(f"{topic}.group", [topic]), 1)) == [1]


async def test_a_wrong_password_is_refused_and_not_logged(
    secured: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    servers = f"127.0.0.1:{secured.secured_port}"
    async with started(servers, login(secured.authority, "sesame-open")) as bus:
        with pytest.raises(KafkaError):
            await bus.send([record(topic, "a", 1)])
    assert "sesame-open" not in caplog.text


async def test_a_broker_with_a_foreign_certificate_is_not_trusted(
    secured: Broker, topic: str
) -> None:
    options = login(secured.authority, PASSWORD).model_copy(update={"ca_file": None})
    async with started(f"127.0.0.1:{secured.secured_port}", options) as bus:
        with pytest.raises(KafkaError):
            await bus.send([record(topic, "a", 1)])


# -- members -------------------------------------------------------------------------------------


async def test_a_named_process_keeps_its_place_over_a_restart(
    servers: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    group = f"{topic}.group"
    names = [
        QUICK.model_copy(update={"group_instance_id": name, "session_seconds": 10.0})
        for name in ("one", "two")
    ]
    async with started(servers, names[1]) as stays:
        async with started(servers, names[0]) as first:
            await first.send([record(topic, f"k{n}", n) for n in range(40)])
            mine, other = await first.join(group, [topic]), await stays.join(group, [topic])
            before = await mine.poll(500, 5)
            await mine.commit(after(before))
        caplog.clear()
        async with started(servers, names[0]) as again:
            back = await again.join(group, [topic])
            assert set(await back.lag()) == {one.partition for one in before}
            await asyncio.sleep(1)
            assert caplog.text.count("dealt anew") == 1  # its own: the other noticed nothing
            assert set(await other.lag()).isdisjoint(await back.lag())


async def test_a_record_is_there_within_a_moment(servers: str, topic: str) -> None:
    async with started(servers, KafkaOptions()) as bus:
        consumer = await bus.join(f"{topic}.group", [topic])
        taken: list[float] = []
        for number in range(30):
            began = time.perf_counter()
            polling = asyncio.create_task(take(consumer, 1))
            await bus.send([record(topic, f"k{number}", number)])
            await polling
            taken.append(time.perf_counter() - began)
    assert sorted(taken)[len(taken) // 2] < 0.05
