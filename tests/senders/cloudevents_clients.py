"""The two packages of the CloudEvents project, for Python and for node, as they are published."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.senders.programs import binary, environment

NODE = Path(__file__).with_name("node")
INSTALL_SECONDS = 120
SEND_SECONDS = 60
ATTEMPTS = 20

Json = Any


@dataclass(frozen=True)
class Answer:
    """The last answer to an event, after so many that said to wait. A transport may tell no status."""

    status: int | None
    refused: int
    body: Json


Send = Callable[[str, str, Json], Answer]
"""Sends the event of these attributes and `data` to this URL, with this key."""


def delivered(url: str, key: str, headers: dict[str, str], body: bytes) -> Answer:
    """Post it as a CloudEvents webhook does: on a 429 wait as long as it says, and try again."""
    headers = {**headers, "Authorization": f"Bearer {key}"}
    for refused in range(ATTEMPTS + 1):
        answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=10)
        if answer.status_code != 429:
            return Answer(answer.status_code, refused, answer.json())
        time.sleep(float(answer.headers["Retry-After"]))
    raise AssertionError(f"refused {ATTEMPTS + 1} times")


def made(event: Json) -> CloudEvent:
    """The same event as the Python package has it."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    attributes["time"] = datetime.fromisoformat(attributes["time"])
    return CloudEvent({**attributes, "datacontenttype": "application/json"}, event["data"])


def by_python(encode: Callable[[CloudEvent], HTTPMessage]) -> Send:
    def send(url: str, key: str, event: Json) -> Answer:
        message = encode(made(event))
        return delivered(url, key, message.headers, message.body)

    return send


def batch_by_python(url: str, key: str, events: list[Json]) -> Answer:
    """Many in one post. The package encodes each; putting them into a list is left to its users."""
    encoded = b",".join(to_structured_event(made(event)).body for event in events)
    headers = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
    return delivered(url, key, headers, b"[" + encoded + b"]")


def by_node(folder: Path, how: str) -> Send:
    """`folder` is one that `installed` has made."""

    def send(url: str, key: str, event: Json) -> Answer:
        order = {"url": url, "key": key, "how": how, "event": event}
        done = subprocess.run(
            [binary("node"), str(folder / "send.mjs")],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=SEND_SECONDS,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        return Answer(said.get("status"), said["refused"], said["body"])

    return send


def installed(folder: Path) -> Path:
    """A copy of the node sender with exactly the packages of its lock, each checked by its hash."""
    shutil.copytree(NODE, folder)
    command = [binary("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        env=environment(),
    )
    assert done.returncode == 0, f"npm ci needs npm's registry: {done.stderr}"
    return folder


PYTHON = {"structured": by_python(to_structured_event), "binary": by_python(to_binary_event)}
