"""A member of a group, to be killed: `python -m tests.kafka.reader SERVERS TOPIC GROUP`.

It takes what there is, says so, and never commits.
"""

import asyncio
import sys

from shared import logs
from shared.bus import KafkaBus, KafkaOptions


async def main(servers: str, topic: str, group: str) -> None:
    logs.configure("console")
    bus = KafkaBus(servers, KafkaOptions(session_seconds=2.0, heartbeat_seconds=0.2))
    consumer = await bus.join(group, [topic])
    while not await consumer.poll(500, 1.0):
        continue
    print("has them", flush=True)
    while True:
        await consumer.poll(500, 1.0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
