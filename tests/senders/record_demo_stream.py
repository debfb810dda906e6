"""Records the demo's stream: plays the schedule to a real Alertmanager and keeps what it sends.

    python -m tests.senders.record_demo_stream [path of alertmanager] [file to write]

Takes about a minute, and gives up when a webhook doesn't come within fifteen seconds. The schedule
is the same at each run, and so is what is recorded, to the byte before compression. Alerts are
posted with the times they have in the schedule, seen from a start twelve weeks ago, so that nothing
in a body needs to be made up afterwards; only Alertmanager's waits are shortened. Every rule is one
group, and the groups are played side by side, each webhook before what follows it in its group.
"""

import gzip
import json
import queue
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from tests.senders.capture import Capture, Post, alertmanager, capturing, post_alerts
from tests.senders.demo_rules import ALERTMANAGER_URL, RULES, SERVICES, Rule
from tests.senders.demo_schedule import (
    END,
    MAX_ALERTS,
    SEED,
    Bout,
    Step,
    deliveries,
    header,
    steps,
)

STREAM = Path(__file__).parents[2] / "services" / "demo" / "stream.jsonl.gz"
PATIENCE = 15.0
"""Seconds within which Alertmanager tells what it was posted."""

Posts = queue.Queue[Post]


def configuration(webhook: str) -> dict[str, Any]:
    """An ordinary route, but for its waits."""
    return {
        "global": {"resolve_timeout": "1h"},
        "route": {
            "receiver": "groundswell",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "250ms",
            "repeat_interval": "1s",
        },
        "receivers": [
            {
                "name": "groundswell",
                "webhook_configs": [{"url": webhook, "max_alerts": MAX_ALERTS}],
            }
        ],
    }


def stated(bout: Bout, ended: bool, anchor: datetime) -> dict[str, Any]:
    """An alert as Prometheus would post it at that time."""
    alert: dict[str, Any] = {
        "labels": bout.labels,
        "annotations": dict(bout.annotations),
        "generatorURL": bout.rule.generator_url,
        "startsAt": moment(bout.starts, anchor),
    }
    return alert | ({"endsAt": moment(bout.ends, anchor)} if ended else {})


def moment(minutes: float, anchor: datetime) -> str:
    return (anchor + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")


def play(rule: Rule, posts: Posts, url: str, anchor: datetime) -> list[tuple[Step, dict[str, Any]]]:
    """Each step of the rule's group with the body that Alertmanager sent for it."""
    told: list[tuple[Step, dict[str, Any]]] = []
    for step in steps(rule):
        if step.posts:
            post_alerts(url, [stated(bout, ended, anchor) for bout, ended in step.posts])
        expected = {
            (bout.labels["instance"], ended, offset(moment(bout.starts, anchor), anchor))
            for bout, ended in step.told
        }
        told.append((step, _told(expected, posts, anchor)))
    return told


def _told(expected: set[tuple[str, bool, float]], posts: Posts, anchor: datetime) -> dict[str, Any]:
    """The next body of the group that tells what is expected.

    Others are let go: a repeat, since the waits are short, or a half, when a flush fell between two
    alerts of one post. Raises queue.Empty when it doesn't come.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        body = posts.get(timeout=max(0.0, deadline - time.monotonic())).document
        states = {
            (
                alert["labels"]["instance"],
                alert["status"] == "resolved",
                offset(alert["startsAt"], anchor),
            )
            for alert in body["alerts"]
        }
        if states <= expected and len(states) + body["truncatedAlerts"] == len(expected):
            return body


def offset(stamp: str, anchor: datetime) -> float:
    """Minutes since the anchor, to a few microseconds."""
    return round((datetime.fromisoformat(stamp) - anchor).total_seconds() / 60, 7)


def undated(body: dict[str, Any], anchor: datetime) -> dict[str, Any]:
    """The body with its times as offsets; nothing else is touched."""
    for alert in body["alerts"]:
        for name in ("startsAt", "endsAt"):
            if not alert[name].startswith("0001-"):
                alert[name] = {"offset_minutes": offset(alert[name], anchor)}
    return body


def sorted_out(hook: Capture, groups: dict[str, Posts]) -> None:
    """Hands each webhook to its group, until one comes with an empty path."""
    while (post := hook.posts.get()).path:
        groups[post.document["groupLabels"]["alertname"]].put(post)


def recorded(url: str, hook: Capture, anchor: datetime) -> Iterator[dict[str, Any]]:
    """The records, in no order."""
    groups: dict[str, Posts] = {rule.name: queue.Queue() for rule in RULES}
    sorter = Thread(target=sorted_out, args=(hook, groups), daemon=True)
    sorter.start()
    with ThreadPoolExecutor(len(RULES)) as players:
        plays = [
            (rule, players.submit(play, rule, groups[rule.name], url, anchor)) for rule in RULES
        ]
        for rule, played in plays:
            chance = Random(f"{SEED}/{rule.name}/deliveries")
            for step, body in played.result():
                kept = undated(body, anchor)
                for at in deliveries(step, chance):
                    yield {"at_minutes": at, "body": kept}
    hook.posts.put(Post("", {}, b""))
    sorter.join()


def main() -> None:
    binary = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/prometheus-alertmanager"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else STREAM
    said = subprocess.run((binary, "--version"), capture_output=True, text=True, check=True).stdout
    version = re.search(r"version (\d+\.\d+\.\d+)", said)
    if version is None:
        raise SystemExit(f"{binary} is no Alertmanager; name the path of one")
    anchor = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=END)
    with (
        capturing() as hook,
        alertmanager(binary, configuration(f"{hook.url}/hook"), ALERTMANAGER_URL) as url,
    ):
        records = sorted(recorded(url, hook, anchor), key=lambda record: record["at_minutes"])
    write(target, [header(f"alertmanager {version[1]}", SERVICES), *records])
    print(f"{len(records)} webhooks, {target.stat().st_size:,} bytes in {target}")


def write(target: Path, lines: list[dict[str, Any]]) -> None:
    """JSON lines, compressed; the same lines make the same bytes."""
    dumped = (json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in lines)
    target.write_bytes(gzip.compress("".join(f"{line}\n" for line in dumped).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
