"""The compose files as `docker compose` reads them, and the shape that they may have.

The shape lists what is in use, and lets nothing else through: a misspelt key fails.
"""

import functools
from typing import Any

import yaml

from tests.deploy.custom_resources import TEXT, several, shape
from tests.deploy.rendering import ROOT, Manifest, Rendered

FILES = ("compose.yaml", "compose.single.yaml")

_duration = {"type": "string", "pattern": r"^\d+s$"}
_size = {"type": "string", "pattern": r"^\d+[mg]$"}
_texts = several(TEXT)
_condition = shape(
    "condition",
    condition={
        "enum": ["service_started", "service_healthy", "service_completed_successfully"],
    },
)
_probe = shape(
    test=_texts,
    interval=_duration,
    timeout=_duration,
    start_period=_duration,
    retries={"type": "integer", "minimum": 1},
    disable={"type": "boolean"},
)
_container = shape(
    "image",
    build={"const": "."},
    image=TEXT,
    user={"type": "string", "pattern": r"^\d+:\d+$"},
    command=_texts,
    # Text only: YAML would turn a bare true or 010 into something else.
    environment={"type": "object", "additionalProperties": {"type": "string"}},
    ports=_texts,
    volumes=_texts,
    tmpfs=_texts,
    networks=_texts,
    read_only={"type": "boolean"},
    cap_drop=_texts,
    security_opt=_texts,
    mem_limit=_size,
    shm_size=_size,
    pids_limit={"type": "integer"},
    restart={"type": "string", "pattern": r"^(no|always|unless-stopped|on-failure(:\d+)?)$"},
    stop_grace_period=_duration,
    healthcheck=_probe,
    depends_on={"type": "object", "additionalProperties": _condition},
)
COMPOSE = {
    "type": "object",
    "required": ["name", "services"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {"type": "object", "additionalProperties": _container, "minProperties": 1},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [{"type": "null"}, shape(internal={"type": "boolean"})]
            },
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}


@functools.cache
def composed(file: str) -> Manifest:
    """The whole file, its anchors and merges followed."""
    return yaml.safe_load((ROOT / file).read_text())


def containers(file: str) -> Rendered:
    """The containers of a compose file, in the shape that rules look at."""
    return [
        {"kind": "Container", "metadata": {"name": name}, **container}
        for name, container in composed(file)["services"].items()
    ]


def container_of(file: str, name: str) -> dict[str, Any]:
    return composed(file)["services"][name]
