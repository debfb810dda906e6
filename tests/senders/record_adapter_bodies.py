"""Records the bodies that the adapter tests read, from Prometheus, amtool and Alertmanager.

    python -m tests.senders.record_adapter_bodies [folder of the binaries, default /usr/bin]

Takes about half a minute. Files are written as they came over the wire; times differ at each run.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.senders.capture import Capture, alertmanager, capturing, free_port, post_alerts, running

BODIES = Path(__file__).parents[1] / "incidents" / "adapters" / "bodies"
ALERTMANAGER_URL = "http://alertmanager.lantern.example:9093"
PROMETHEUS_URL = "http://prometheus.lantern.example:9090"

RULES = """
groups:
- name: lantern
  interval: 1s
  rules:
  - alert: CheckoutErrorRateHigh
    expr: >
      label_replace(vector(7.25), "instance", "checkout-1:8443", "", "") > 5
      and on() ({since} < vector(time()) < {until})
    labels: {{severity: critical, service: checkout}}
    annotations:
      summary: "{{{{ $labels.instance }}}} answers {{{{ $value }}}} % of orders with an error"
      description: "More than 5 % of orders fail.\\nLook at the last release first."
      customers_affected: "{{{{ $value | humanize }}}}"
"""


def keep(name: str, body: bytes) -> None:
    (BODIES / name).write_bytes(body)
    print(f"{len(body):6,} bytes  {name}")


def configuration(webhook: str, max_alerts: int = 0) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "groundswell",
            "group_by": ["alertname"],
            "group_wait": "300ms",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {
                "name": "groundswell",
                "webhook_configs": [{"url": webhook, "max_alerts": max_alerts}],
            }
        ],
    }


def alert(name: str, instance: str, **more: Any) -> dict[str, Any]:
    labels = {"alertname": name, "instance": instance, "service": "search", "severity": "warning"}
    summary = f"The index on {instance} is stale"
    return {"labels": labels, "annotations": {"summary": summary}, **more}


def record_webhooks(binaries: str, hook: Capture) -> None:
    """A single alert by amtool, a group of mixed states, odd labels, and the fingerprint table."""
    with alertmanager(
        f"{binaries}/prometheus-alertmanager", configuration(f"{hook.url}/hook"), ALERTMANAGER_URL
    ) as url:
        amtool = (f"{binaries}/amtool", "--no-version-check", "alert", "add", "SearchIndexStale")
        words = ("service=search", "severity=page", "instance=search-2:9200")
        with_summary = "--annotation=summary=The index on search-2 is 41 minutes old"
        with capturing() as api:
            for target in (url, api.url):
                command = (*amtool, *words, with_summary, f"--alertmanager.url={target}")
                subprocess.run(command, check=True)
            keep("amtool_firing.json", api.take().body)
            until = "--end=2026-01-31T12:00:00Z", "--start=2026-01-31T11:00:00Z"
            subprocess.run((*command, *until), check=True)
            keep("amtool_ended.json", api.take().body)
        keep("alertmanager_firing.json", hook.take().body)

        post_alerts(url, [alert("SearchSlow", f"search-{i}:9200") for i in (1, 2, 3)])
        group = hook.take()
        keep("alertmanager_group.json", group.body)
        times = {"startsAt": group.document["alerts"][1]["startsAt"]}
        times["endsAt"] = datetime.now(UTC).isoformat()
        post_alerts(url, [alert("SearchSlow", "search-2:9200", **times)])
        keep("alertmanager_mixed.json", hook.take().body)

        odd = {
            "alertname": "Odd",
            "job": "été <b>&</b>",
            "path": 'C:\\"x"',
            "nul": "a\0b",
            "no": "",
        }
        post_alerts(url, [{"labels": odd, "annotations": {"summary": "☃\nsecond line"}}])
        keep("alertmanager_odd.json", hook.take().body)
        record_fingerprints(url)


def record_fingerprints(url: str) -> None:
    """What fingerprint Alertmanager gives to each of 60 label sets, plain and strange."""
    chosen = random.Random(20_26)
    alphabet = "abcXYZ019 _-:/{}\"'\\<&é€😀\t\n"
    post_alerts(
        url,
        [
            {
                "labels": {
                    f"{chosen.choice('abcZ_')}{i}": "".join(
                        chosen.choices(alphabet, k=chosen.randint(1, 40))
                    )
                    for i in range(chosen.randint(1, 12))
                }
            }
            for _ in range(60)
        ],
    )
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=20) as answer:
        table = [
            {"labels": given["labels"], "fingerprint": given["fingerprint"]}
            for given in json.load(answer)
        ]
    table.sort(key=lambda row: row["fingerprint"])
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    keep("fingerprints.json", f"[\n{rows}\n]\n".encode())


def record_truncated(binaries: str, hook: Capture) -> None:
    with alertmanager(
        f"{binaries}/prometheus-alertmanager",
        configuration(f"{hook.url}/hook", max_alerts=2),
        ALERTMANAGER_URL,
    ) as url:
        post_alerts(url, [alert("SearchSlow", f"search-{i}:9200") for i in range(5)])
        keep("alertmanager_truncated.json", hook.take().body)


def record_both_roads(binaries: str, hook: Capture) -> None:
    """One alert of a real Prometheus, by API v2 and, through a real Alertmanager, by webhook."""
    with (
        capturing() as api,
        alertmanager(
            f"{binaries}/prometheus-alertmanager",
            configuration(f"{hook.url}/hook"),
            ALERTMANAGER_URL,
        ) as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        rules, config = Path(folder, "rules.yml"), Path(folder, "prometheus.yml")
        # A new Prometheus takes five seconds to find its Alertmanagers; what fires before is lost.
        since = round(time.time()) + 8
        rules.write_text(RULES.format(since=since, until=since + 3))
        targets = [address.removeprefix("http://") for address in (api.url, url)]
        config.write_text(
            json.dumps(
                {
                    "global": {"external_labels": {"region": "eu-north"}},
                    "rule_files": [str(rules)],
                    "alerting": {"alertmanagers": [{"static_configs": [{"targets": targets}]}]},
                }
            )
        )
        port = free_port()
        command = (
            f"{binaries}/prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={PROMETHEUS_URL}",
            "--web.route-prefix=/",
        )
        with running(command, f"http://127.0.0.1:{port}/-/ready"):
            keep("prometheus_firing.json", api.take().body)
            keep("alertmanager_of_prometheus_firing.json", hook.take().body)
            keep("prometheus_resolved.json", api.take().body)
            keep("alertmanager_of_prometheus_resolved.json", hook.take().body)


def record_paging(binaries: str, hook: Capture) -> None:
    """One group of two alerts, and its end, as Alertmanager tells PagerDuty and Opsgenie."""
    config = configuration(hook.url)
    config["receivers"][0] = {
        "name": "groundswell",
        "pagerduty_configs": [{"url": f"{hook.url}/v2/enqueue", "routing_key": "5e" * 16}],
        "opsgenie_configs": [
            {"api_url": f"{hook.url}/", "api_key": "5e" * 16, "tags": "team:search,nightly"}
        ],
    }
    with alertmanager(f"{binaries}/prometheus-alertmanager", config, ALERTMANAGER_URL) as url:
        alerts = [alert("SearchSlow", f"search-{i}:9200") for i in (1, 2)]
        post_alerts(url, alerts)
        keep_paging(hook, "firing")
        ended = datetime.now(UTC).isoformat()
        post_alerts(url, [{**one, "endsAt": ended} for one in alerts])
        keep_paging(hook, "resolved")


def keep_paging(hook: Capture, state: str) -> None:
    for post in (hook.take(), hook.take()):
        to = "pagerduty" if post.path == "/v2/enqueue" else "opsgenie"
        keep(f"{to}_of_alertmanager_{state}.json", post.body)


def main() -> None:
    binaries = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin"
    BODIES.mkdir(parents=True, exist_ok=True)
    for record in (record_webhooks, record_truncated, record_both_roads, record_paging):
        with capturing() as hook:
            record(binaries, hook)


if __name__ == "__main__":
    main()
