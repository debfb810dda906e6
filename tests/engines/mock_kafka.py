"""A Kafka cluster in this process, without a JVM: the mock inside librdkafka, over real sockets.

It speaks the protocol and can be told to fail. It keeps nothing on a disk: what it can prove is how
a client behaves, never that a record is durable.
"""

import asyncio
import ctypes
import socket
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import confluent_kafka
from aiokafka.consumer.group_coordinator import GroupCoordinator

PRODUCE, FETCH, OFFSET_COMMIT, HEARTBEAT = 0, 1, 8, 12
"""Numbers of requests, for `fail`."""

REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER, NOT_COORDINATOR, MESSAGE_TOO_LARGE = 27, 25, 16, 10
"""Numbers of errors, for `fail`."""

_PRODUCER = 0
_TEXT = 512


@cache
def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """`servers` is its address. Every method may be called at any time between start and stop."""

    def __init__(self, brokers: int = 1) -> None:
        library = _library()
        error = ctypes.create_string_buffer(_TEXT)
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        library.rd_kafka_conf_set(conf, b"log_level", b"4", error, _TEXT)  # no word on its set-up
        handle = library.rd_kafka_new(_PRODUCER, conf, error, _TEXT)
        if not handle:
            raise RuntimeError(f"librdkafka can't start: {error.value.decode()}")
        self._handle = ctypes.c_void_p(handle)
        self._cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(self._handle, brokers))
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.brokers = brokers
        self.servers: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def stop(self) -> None:
        _library().rd_kafka_mock_cluster_destroy(self._cluster)
        _library().rd_kafka_destroy(self._handle)

    def create(self, topic: str, partitions: int) -> None:
        self._tell("topic_create", topic.encode(), partitions, self.brokers)

    def fail(self, request: int, errors: Sequence[int]) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        numbers = (ctypes.c_int * len(errors))(*errors)
        _library().rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), numbers
        )

    def down(self) -> None:
        """Close every broker's port and its connections."""
        for broker in range(1, self.brokers + 1):
            self._tell("broker_set_down", broker)

    def up(self) -> None:
        for broker in range(1, self.brokers + 1):
            self._tell("broker_set_up", broker)

    def slow(self, milliseconds: int) -> None:
        """Answer every request that much later."""
        for broker in range(1, self.brokers + 1):
            self._tell("broker_set_rtt", broker, milliseconds)

    def _tell(self, what: str, *arguments: Any) -> None:
        call = getattr(_library(), f"rd_kafka_mock_{what}")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(call, self._cluster, *arguments)
            while not answer.done():
                self._wake()
                wait([answer], timeout=0.01)
        if code := answer.result():
            raise RuntimeError(f"the mock cluster refused {what} with error {code}")

    def _wake(self) -> None:
        """Its thread looks up from its sockets once a second, or when something connects."""
        host, _, port = self.servers.split(",")[0].rpartition(":")
        with suppress(OSError):  # all of its ports may be down
            socket.create_connection((host, int(port)), timeout=1).close()


@contextmanager
def mock_kafka() -> Generator[MockKafka]:
    """A running one. `create` its topics first: it makes none on request, as a broker does.

    A leader of a group that deals out partitions before the others ask is right with a broker and
    refused by the mock: here it waits a moment.
    """
    dealing = GroupCoordinator._perform_assignment

    async def waits(coordinator: Any, answer: Any) -> Any:
        await asyncio.sleep(0.02)
        return await dealing(coordinator, answer)

    mock = MockKafka()
    try:
        with patch.object(GroupCoordinator, "_perform_assignment", waits):
            yield mock
    finally:
        mock.stop()


def main() -> None:
    """Run one until interrupted: for a look by hand."""
    mock = MockKafka()
    print(mock.servers)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        mock.stop()


if __name__ == "__main__":
    main()
