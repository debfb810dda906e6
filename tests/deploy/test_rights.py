"""The users of the bus on a real broker: what the manifests allow is enough, and no more than that."""

import time
from collections.abc import Generator

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka import ConsumerGroupTopicPartitions

from services.engines import TOPICS
from services.events import subscriptions
from shared.bus.bus import Delivered
from shared.consumer import Subscription
from shared.envelope import Record
from tests.deploy.guarded_broker import ADMIN, admin_of, bus_of, guarded
from tests.deploy.rendering import Manifest, rendered
from tests.deploy.test_agreement import owner_of, written
from tests.engines.kafka_broker import NoBroker

SENT = 12
ENOUGH_SECONDS = 40
"""To join a group and read a dozen records, on a machine that does much else."""
LONG_SECONDS = 4
"""Many times what it takes to be let in."""


def users() -> list[Manifest]:
    return [m for m in rendered("distributed-production") if m["kind"] == "KafkaUser"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    try:
        with guarded(tmp_path_factory.mktemp("broker"), users()) as address:
            yield address
    except NoBroker as why:
        pytest.fail(str(why))


@pytest.fixture
async def filled(servers: str) -> str:
    """The topics, made as an administrator, each with records that its own service wrote."""
    admin = bus_of(servers, ADMIN)
    await admin.ensure_topics(TOPICS)
    await admin.stop()
    for topic in TOPICS:
        bus = bus_of(servers, f"{written(topic)}-bus")
        await bus.send([Record(topic, f"key {n}", {"ce_id": str(n)}, b"{}") for n in range(SENT)])
        await bus.stop()
    return servers


async def read(servers: str, user: str, sub: Subscription, seconds: float) -> list[Delivered]:
    """What a member of the group gets and commits in this time, or until it has all of it."""
    bus = bus_of(servers, user)
    member = await bus.join(sub.group, sub.topics)
    found: list[Delivered] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and len(found) < SENT * len(sub.topics):
        found += await member.poll(500, 0.5)
    await member.commit({d.partition: d.offset + 1 for d in found})
    await bus.stop()
    return found


async def test_each_service_writes_its_own_topic_and_reads_what_it_listens_to(filled: str) -> None:
    for sub in subscriptions():
        found = await read(filled, f"{owner_of(sub.group)}-bus", sub, ENOUGH_SECONDS)
        assert {d.partition.topic for d in found} == set(sub.topics)
    described = admin_of(filled, "autoscaler")
    for sub in subscriptions():
        asked = described.list_consumer_group_offsets([ConsumerGroupTopicPartitions(sub.group)])
        committed = asked[sub.group].result(30).topic_partitions
        assert sum(partition.offset for partition in committed) >= SENT


async def test_no_service_writes_the_topic_of_another(filled: str) -> None:
    for topic in TOPICS:
        for other in {written(t) for t in TOPICS} - {written(topic)}:
            bus = bus_of(filled, f"{other}-bus")
            with pytest.raises(TopicAuthorizationFailedError):
                await bus.send([Record(topic, "key", {}, b"{}")])
            await bus.stop()


async def test_no_service_reads_in_the_group_of_another(filled: str) -> None:
    for sub in subscriptions():
        other = "incidents" if owner_of(sub.group) != "incidents" else "roadmap"
        assert await read(filled, f"{other}-bus", sub, LONG_SECONDS) == []
