"""A Groundswell as a user starts it, and what a test asks of it: all through its own HTTP."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.senders.capture import free_port
from tests.senders.programs import Program, environment, until

COMMAND = Path(sys.executable).with_name("groundswell")
Json = Any


@dataclass
class Groundswell:
    """A process on a folder of its own. `sender_key` is a file with a key that may only ingest."""

    program: Program
    port: int
    api: httpx.Client
    sender_key: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **query: str | int) -> Json:
        answer = self.api.get(path, params=query)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def put(self, path: str, body: Json) -> Json:
        answer = self.api.put(path, json=body)
        assert answer.status_code == 200, f"PUT {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Json) -> Json:
        """Make something; what was made."""
        answer = self.api.post(path, json=body)
        assert answer.status_code == 201, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def all(self, path: str, **query: str | int) -> list[Json]:
        """Every entry of a list, whatever the number of pages."""
        entries: list[Json] = []
        page = self.get(path, limit=200, **query)
        entries += page["items"]
        while page["next"]:
            page = self.get(path, limit=200, cursor=page["next"], **query)
            entries += page["items"]
        return entries

    def incidents(self, alert_name: str | None = None) -> list[Json]:
        """Incidents, the newest first; of one alert, if it is named."""
        every = self.all("/v1/incidents")
        return [one for one in every if alert_name in (None, one["alert_name"])]

    def send(self, path: str, body: bytes) -> httpx.Response:
        """Post these bytes as a sender does: with the key that may only ingest."""
        headers = {
            "Authorization": f"Bearer {self.sender_key.read_text()}",
            "Content-Type": "application/json",
        }
        return httpx.post(self.url + path, content=body, headers=headers, trust_env=False)

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What /metrics says now: (name, labels in order) → value."""
        text = httpx.get(self.url + "/metrics", trust_env=False).text
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum over every series of that name which has these labels."""
        wanted = labels.items()
        return sum(
            value
            for (found, its), value in self.metrics().items()
            if found == name and wanted <= dict(its).items()
        )

    def settle(self) -> None:
        """Return once nothing is on its way: no event waits to be sent, or to be heard."""

        def at_rest() -> bool:
            rest = [
                value
                for (name, _), value in self.metrics().items()
                if name in ("outbox_pending", "consumer_lag_records")
            ]
            return bool(rest) and not any(rest)

        for _ in range(2):  # what was heard last may have said something in its turn
            until(at_rest, "every event was sent and heard")

    def snapshot(self) -> Json:
        """What a redelivery must leave as it is. Everything but the counters of repeats is in it."""
        self.settle()
        numbers = self.get("/v1/incidents/summary")
        del numbers["repeats"]
        themes = self.get("/v1/themes/summary")
        del themes["as_of"]
        return {
            "incidents": numbers,
            "each incident": {
                one["id"]: (one["state"], one["version"], one["opened_at"], one["resolved_at"])
                for one in self.incidents()
            },
            "themes": themes,
            "each theme": {
                one["id"]: (one["state"], one["version"], one["evidence_count"])
                for one in self.all("/v1/themes")
            },
            "candidates": {
                one["id"]: (one["state"], one["version"], one["score"])
                for one in self.all("/v1/candidates", state="any")
            },
            "events": self.metric("outbox_events_sent_total"),
        }

    def signals_counted(self) -> int:
        """Signals that its API says it took: stored ones, and what was said of them again."""
        numbers = self.get("/v1/incidents/summary")
        return numbers["signals"] + numbers["repeats"]


@contextmanager
def groundswell(folder: Path, **settings: str) -> Generator[Groundswell]:
    """`groundswell run` on a fresh data folder, with a key for its senders, until the block ends.

    `settings` are those of the incidents service, in lower case and without their prefix.
    """
    data, port = folder / "data", free_port()
    data.mkdir()
    own = {f"GROUNDSWELL_INCIDENTS_{name.upper()}": value for name, value in settings.items()}
    env = environment(
        GROUNDSWELL_DATA=str(data), GROUNDSWELL_PORT=str(port), PYTHONWARNINGS="error", **own
    )
    ready = f"http://127.0.0.1:{port}/readyz"
    program = Program("groundswell", [str(COMMAND), "run"], ready, folder / "groundswell.log", env)
    try:
        program.start()
        admin_key = (data / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {admin_key}"}
        base_url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base_url, headers=headers, trust_env=False, timeout=10) as api:
            sender_key = folder / "sender.key"
            running = Groundswell(program, port, api, sender_key)
            body = {"name": "Prometheus and Alertmanager", "scopes": ["ingest"]}
            sender_key.write_text(running.post("/v1/keys", body)["key"])
            yield running
    finally:
        program.discard()
