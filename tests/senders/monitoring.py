"""A real Prometheus and a real Alertmanager with their configuration, as an operator writes it."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP
from typing import Any

import httpx

from tests.senders.capture import Capture, free_port
from tests.senders.groundswell import Groundswell
from tests.senders.programs import Program, binary, until

RULES = Path(__file__).with_name("shop_rules.yml")
RESEND_SECONDS = 1
EXPIRES_SECONDS = 4 * RESEND_SECONDS
"""How far ahead Prometheus puts the `endsAt` of an alert that fires: four times the longer one of
its resend delay and the rule group's interval."""

Json = Any


@dataclass
class Alertmanager:
    """An Alertmanager, and what its HTTP API answers."""

    program: Program
    url: str

    def firing(self) -> set[str]:
        """The names of the alerts that it holds as active."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", trust_env=False, timeout=5)
        return {
            alert["labels"]["alertname"]
            for alert in answer.json()
            if alert["status"]["state"] == "active"
        }

    def metric(self, name: str, **labels: str) -> float:
        """A number that it reports of itself, summed over its series with these labels."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=5).text
        told = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.partition("{")[0].partition(" ")[0] == name
            and all(label in line for label in told)
        )


@contextmanager
def alertmanager(
    folder: Path, groundswell: Groundswell, capture: Capture, repeat_interval: str = "4h"
) -> Generator[Alertmanager]:
    """An Alertmanager whose receiver is Groundswell, and after it the capture."""
    told = {"send_resolved": True}
    authorization = {"credentials_file": str(groundswell.sender_key)}
    config = {
        "route": {
            "receiver": "groundswell",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": repeat_interval,
        },
        "receivers": [
            {
                "name": "groundswell",
                "webhook_configs": [
                    {
                        **told,
                        "url": f"{groundswell.url}/ingest/alertmanager",
                        "http_config": {"authorization": authorization},
                    },
                    {**told, "url": f"{capture.url}/webhook"},
                ],
            }
        ],
    }
    with configured(folder, config) as running:
        yield running


@contextmanager
def configured(folder: Path, config: dict[str, Json]) -> Generator[Alertmanager]:
    """An Alertmanager of this configuration."""
    port, file = free_port(), folder / "alertmanager.yml"
    file.write_text(json.dumps(config, indent=2))  # JSON is YAML
    command = (
        binary("prometheus-alertmanager"),
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=debug",
    )
    url = f"http://127.0.0.1:{port}"
    program = Program("alertmanager", command, f"{url}/-/ready", folder / "alertmanager.log")
    try:
        program.start()
        yield Alertmanager(program, url)
    finally:
        program.discard()


@dataclass
class Prometheus:
    """A Prometheus, and what its HTTP API answers."""

    program: Program
    url: str
    config: Path

    def query(self, expression: str) -> list[tuple[dict[str, str], float, float]]:
        """An instant query: (labels, time of the answer, value) for each series."""
        asked = {"query": expression}
        answer = httpx.get(f"{self.url}/api/v1/query", params=asked, trust_env=False, timeout=5)
        told = answer.json()
        assert told["status"] == "success", told
        return [
            (one["metric"], float(one["value"][0]), float(one["value"][1]))
            for one in told["data"]["result"]
        ]

    def value(self, expression: str) -> float | None:
        """The only value of an expression; None where there is no series."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][2] if found else None

    def rules(self) -> dict[str, str]:
        """The health of every rule that it evaluates, by its name."""
        answer = httpx.get(f"{self.url}/api/v1/rules", trust_env=False, timeout=5).json()
        groups = answer["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def alertmanagers(self) -> list[str]:
        """Where it sends alerts to, as it says itself."""
        answer = httpx.get(f"{self.url}/api/v1/alertmanagers", trust_env=False, timeout=5).json()
        return [one["url"] for one in answer["data"]["activeAlertmanagers"]]

    def tell_nobody(self) -> None:
        """Take out the `alerting` part and reload: it scrapes on, and sends no more alerts."""
        config = json.loads(self.config.read_text())
        del config["alerting"]
        self.config.write_text(json.dumps(config, indent=2))
        self.program.signal(SIGHUP)
        until(lambda: not self.alertmanagers(), "Prometheus sends alerts to nobody")


def as_alertmanager(url: str, key: Path | None = None) -> dict[str, Json]:
    """An entry of `alerting.alertmanagers`; Groundswell's differs from any other by the key only."""
    entry: dict[str, Json] = {"static_configs": [{"targets": [url.removeprefix("http://")]}]}
    return entry if key is None else {**entry, "authorization": {"credentials_file": str(key)}}


def scraped(job: str, url: str) -> dict[str, Json]:
    """An entry of `scrape_configs`."""
    return {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://")]}]}


@contextmanager
def prometheus(
    folder: Path, alertmanagers: Sequence[dict[str, Json]], scrapes: Sequence[dict[str, Json]]
) -> Generator[Prometheus]:
    """A Prometheus with the shop's rules, which looks at these targets and itself every second."""
    port, file = free_port(), folder / "prometheus.yml"
    url = f"http://127.0.0.1:{port}"
    config = {
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
            "external_labels": {"region": "eu-north"},
        },
        "rule_files": [str(RULES)],
        "alerting": {"alertmanagers": list(alertmanagers)},
        "scrape_configs": [*scrapes, scraped("prometheus", url)],
    }
    file.write_text(json.dumps(config, indent=2))
    command = (
        binary("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--rules.alert.resend-delay={RESEND_SECONDS}s",
    )
    program = Program("prometheus", command, f"{url}/-/ready", folder / "prometheus.log")
    try:
        program.start()
        running = Prometheus(program, url, file)
        # A new Prometheus takes five seconds to find those it sends alerts to.
        wanted = len(alertmanagers)
        until(lambda: len(running.alertmanagers()) == wanted, "Prometheus found its Alertmanagers")
        yield running
    finally:
        program.discard()
