"""Some of everything, made through the API as people and senders make it, and the ids of it all."""

import random
import sqlite3
from collections.abc import MutableMapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import httpx
from schemathesis import Case

from tests.whole.system import System, eventually

PRODUCT = "Checkout"
SERVICE = "payments"
RULE = {
    "matchers": [{"label": "node", "value": "nobody's"}],
    "by": ["node"],
    "within_seconds": 60,
    "span_seconds": 60,
}
DEAD_LETTER = "ded_replayed"
LISTENING = ("incidents", "feedback", "roadmap")


@dataclass(frozen=True)
class Things:
    """Ids of what there is, by the name under which a path or a body asks for it."""

    ids: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def one(self, name: str) -> str:
        """The first of its kind."""
        return self.ids[name][0]

    def any(self, name: str, chance: random.Random) -> str | None:
        """One of its kind, or None when the name asks for nothing that has an id."""
        there = self.ids.get(name)
        return chance.choice(there) if there else None


def sow(system: System) -> Things:
    """Some of every noun, and spare keys."""
    with system.client() as client:

        def post(path: str, body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.is_success, f"{path}: {answer.text}"
            return answer.json()

        keys = [post("/v1/keys", {"name": "spare", "scopes": ["ingest"]}) for _ in range(3)]
        integrations = [
            post("/v1/integrations", {"name": "spare", "source": f"spare-{n}"}) for n in range(4)
        ]
        # Nobody asks these to sign what they send: their keys work whatever becomes of the others.
        senders = [
            post("/v1/integrations", {"name": "sender", "source": f"sender-{n}"}) for n in range(2)
        ]
        changes = [post("/v1/changes", {"title": f"Deployed 1.{n}"}) for n in range(2)]
        _register(client)
        signals = _signals(post)
        incidents = _incidents(post)
        feedback = [
            post("/v1/feedback", {"text": text, "kind": "customer", "author": f"Ada {n}"} | placed)
            for n, text in enumerate(["Cards are declined", "Checkout hangs", "Where is my money"])
            for placed in ({"service": SERVICE, "product": PRODUCT}, {})
        ]
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        nobody = [{"label": "node", "value": "nobody's"}]
        terms = {"comment": "moving", "matchers": nobody, "ends_at": until}
        silences = [post("/v1/silences", terms) for _ in range(8)]
        objectives = [post("/v1/objectives", {"title": f"Fewer declines {n}"}) for n in range(2)]
        themes = eventually(lambda: _list(client, "/v1/themes", 2), "a theme")
        evidence = eventually(
            lambda: _list(client, f"/v1/themes/{themes[0]['id']}/evidence", 1), "evidence"
        )
        candidates = [
            post("/v1/candidates", {"title": f"Retry {n}", "product": PRODUCT, "reason": "seen"})
            for n in range(40)
        ]
        items = [
            post(
                "/v1/items",
                {"title": f"Retries {n}", "product": PRODUCT, "theme_ids": [theme["id"]]},
            )
            for n, theme in enumerate(themes[:2])
        ]
        items += [post("/v1/items", {"title": f"Work {n}", "product": PRODUCT}) for n in range(20)]
        post(f"/v1/items/{items[0]['id']}/commit", {"expected_reduction": 0.5})
        accepted = post(f"/v1/candidates/{candidates[3]['id']}/accept", {"horizon": "next"})
    assert accepted["state"] == "accepted"
    _dead_letter(system)
    return Things(
        {
            "key_id": [one["id"] for one in keys],
            "integration_id": [one["integration"]["id"] for one in integrations],
            "routing_key": [one["key"] for one in senders],
            "change_id": [one["id"] for one in changes],
            "signal_id": [one["id"] for one in signals],
            "incident_id": [one["id"] for one in incidents]
            + [one["incident_id"] for one in signals],
            "feedback_id": [one["id"] for one in feedback],
            "theme_id": [one["id"] for one in themes],
            "evidence_id": [one["id"] for one in evidence],
            "candidate_id": [one["id"] for one in candidates],
            "item_id": [one["id"] for one in items],
            "objective_id": [one["id"] for one in objectives],
            "silence_id": [one["id"] for one in silences],
            "name": [SERVICE, "ledger"],
            "mapping_name": [SERVICE, "ledger"],
            "detector": ["recurrence", "demand"],
            "dead_letter_id": [DEAD_LETTER],
            "id": [incidents[0]["id"], themes[0]["id"], candidates[0]["id"], items[0]["id"]],
        }
    )


def _register(client: httpx.Client) -> None:
    for name in (SERVICE, "ledger"):
        answer = client.put(f"/v1/mappings/{name}", json={"title": {"const": "It fails"}})
        assert answer.is_success, answer.text
        answer = client.put(f"/v1/correlations/{name}", json=RULE)
        assert answer.is_success, answer.text
        answer = client.put(f"/v1/catalog/services/{name}", json={"product": PRODUCT, "tier": 1})
        assert answer.is_success, answer.text


def _signals(post: Any) -> list[dict[str, Any]]:
    alerts = [
        {"title": f"Declines on node {n}", "service": SERVICE, "labels": {"node": str(n)}}
        for n in range(6)
    ]
    return post("/v1/signals", alerts)["signals"]


def _incidents(post: Any) -> list[dict[str, Any]]:
    ago = datetime.now(UTC) - timedelta(days=20)
    return [
        post(
            "/v1/incidents",
            {
                "title": f"Payments fail again ({n})",
                "service": name,
                "severity": "critical",
                "opened_at": (ago + timedelta(days=3 * n)).isoformat(),
            },
        )
        for n in range(5)
        for name in (SERVICE, "nobody-knows-it")
    ]


def _dead_letter(system: System) -> None:
    """One in each service, replayed long since; nobody can send what can't be read over HTTP."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    letter = {
        "id": DEAD_LETTER,
        "consumer": "a consumer",
        "topic": "a topic",
        "partition": 0,
        "offset": 7,
        "key": "a key",
        "headers": "{}",
        "value": b"\xff",
        "reason": "not JSON",
        "recorded_at": now,
        "replayed_at": now,
        "replayed_by": "Ada",
    }
    columns = ", ".join(f'"{name}"' for name in letter)
    values = ", ".join("?" for _ in letter)
    for service in LISTENING:
        with closing(sqlite3.connect(system.data / f"{service}.sqlite3", timeout=30)) as conn:
            conn.execute(
                f"INSERT INTO dead_letters ({columns}) VALUES ({values})", tuple(letter.values())
            )
            conn.commit()


def _list(client: httpx.Client, path: str, least: int) -> list[dict[str, Any]]:
    items = client.get(path).json()["items"]
    return items if len(items) >= least else []


ASKED_FOR = {
    "theme_ids": "theme_id",
    "add_theme_ids": "theme_id",
    "evidence_ids": "evidence_id",
    "service": "name",
}
"""Fields of queries and bodies that ask for a thing by another name than its path does."""


def made_real(case: Case, things: Things) -> None:
    """Put real ids and possible times into most of the places of a made-up request that want them.

    The choice depends on the request alone, so that a run can be repeated.
    """
    chance = random.Random(crc32(repr((case.path_parameters, case.query, case.body)).encode()))
    _fill(case.path_parameters, things, case, chance, often=0.8)
    _fill(case.query, things, case, chance, often=0.3)
    if isinstance(case.body, dict):
        _fill(case.body, things, case, chance, often=0.7)
    if case.headers and chance.random() < 0.7:
        case.headers.pop("if-match", None)


def _fill(
    fields: MutableMapping[str, Any] | None,
    things: Things,
    case: Case,
    chance: random.Random,
    often: float,
) -> None:
    for name, made_up in list((fields or {}).items()):
        assert fields is not None
        if chance.random() > often:
            continue
        wanted = ASKED_FOR.get(name, name)
        if name == "into":
            wanted = "theme_id" if "/themes/" in case.path else "candidate_id"
        if name == "at":
            fields[name] = datetime.now(UTC).isoformat()
        elif name == "until":
            fields[name] = (datetime.now(UTC) + timedelta(days=30)).isoformat()
        elif there := things.any(wanted, chance):
            fields[name] = [there] if isinstance(made_up, list) else there
