"""The bus: topics with partitions, groups with committed positions. One contract, any engine."""

from shared.bus.bus import Bus, Consumer, Delivered, Partition
from shared.bus.embedded import EmbeddedBus
from shared.bus.kafka import KafkaBus
from shared.bus.kafka_client import KafkaOptions

__all__ = [
    "Bus",
    "Consumer",
    "Delivered",
    "EmbeddedBus",
    "KafkaBus",
    "KafkaOptions",
    "Partition",
]
