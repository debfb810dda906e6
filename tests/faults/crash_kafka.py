"""A mock Kafka cluster in a process of its own, with our topics; says its address and lives until killed.

A process that forks must not have the cluster's threads.
"""

import threading

from shared.contracts import feedback, incidents, roadmap
from tests.engines.mock_kafka import MockKafka
from tests.faults.crash_points import PARTITIONS


def main() -> None:
    cluster = MockKafka()
    for topic in (incidents.TOPIC, feedback.TOPIC, roadmap.TOPIC):
        cluster.create(topic, PARTITIONS)
    print(cluster.servers, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
