"""Alert rules, scrape configuration and dashboard: valid, played through, and true to the code."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from services.gateway import metrics as gateway_metrics
from services.incidents import metrics as incidents_metrics
from shared import metrics
from tests.deploy.production_rules import MONITORED
from tests.deploy.rendering import ROOT, at, find, promtool, rendered, run

PROMETHEUS = ROOT / "deploy" / "prometheus"
MONITORING = ROOT / "deploy" / "k8s" / "components" / "monitoring"
RULES = PROMETHEUS / "rules.yaml"

CLUSTER_METRICS = {
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "up",
}

SELECTOR = re.compile(r"\b([a-z][a-z0-9_]*)\s*\{([^}]*)\}")


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    manifest = find(rendered("production"), "ConfigMap/groundswell-dashboard")
    return json.loads(at(manifest, "data")["groundswell.json"])


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def every_query() -> list[str]:
    return [rule["expr"] for rule in rules()] + dashboard_queries()


def exported_names() -> set[str]:
    """The series names that the process exports, histograms' parts among them."""
    assert metrics.http_requests  # these modules are here for what they register
    assert incidents_metrics.ingest_accepted
    assert gateway_metrics.hops_failed
    names: set[str] = set()
    for family in REGISTRY.collect():
        suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


def test_prometheus_operator_gets_the_same_rules() -> None:
    writer = runpy.run_path(str(MONITORING / "write_prometheus_rule.py"))
    committed = (MONITORING / "prometheus-rule.yaml").read_text()
    assert committed == writer["prometheus_rule"](RULES.read_text()), (
        "deploy/prometheus/rules.yaml has changed: run "
        "`python deploy/k8s/components/monitoring/write_prometheus_rule.py`"
    )
    for overlay in MONITORED:
        manifest = find(rendered(overlay), "PrometheusRule/groundswell")
        assert at(manifest, "spec.groups") == yaml.safe_load(RULES.read_text())["groups"]


def test_promtool_accepts_the_rendered_rules(tmp_path: Path) -> None:
    manifest = find(rendered("production"), "PrometheusRule/groundswell")
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(at(manifest, "spec")))
    said = run(promtool(), "check", "rules", "--lint-fatal", file)
    assert f"{len(rules())} rules found" in said


@pytest.mark.parametrize("file", ["prometheus.yaml", "prometheus.distributed.yaml"])
def test_promtool_accepts_the_scrape_configuration(file: str) -> None:
    assert "is valid prometheus config" in run(promtool(), "check", "config", PROMETHEUS / file)


def test_alerts_fire_when_they_should_and_only_then() -> None:
    run(promtool(), "test", "rules", "rules.test.yaml", cwd=PROMETHEUS)


@pytest.mark.parametrize("alert", alerts())
def test_alert_is_shown_what_it_is_for(alert: str) -> None:
    played = (PROMETHEUS / "rules.test.yaml").read_text()
    assert f'alertname="{alert}",alertstate="firing"' in played


def test_promtool_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "5m") for query in dashboard_queries()]
    recorded = [{"record": f"panel:query:{i}", "expr": query} for i, query in enumerate(queries)]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(queries)} rules found" in run(promtool(), "check", "rules", file)


def test_dashboard_is_whole() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)


@pytest.mark.parametrize("query", every_query())
def test_query_asks_for_our_job_and_for_metrics_that_exist(query: str) -> None:
    selectors = SELECTOR.findall(query)
    recorded = set(re.findall(r"groundswell:[a-z0-9_:]+", query))
    assert selectors or recorded
    assert recorded <= {rule.get("record") for rule in rules()}
    for name, labels in selectors:
        assert name in exported_names() | CLUSTER_METRICS
        assert 'job="groundswell"' in labels or name.startswith("kubelet_")


@pytest.mark.parametrize("query", [query for query in every_query() if 'le="' in query])
def test_threshold_of_an_objective_is_a_bound_of_the_histogram(query: str) -> None:
    metrics.http_duration.labels("deploy-test", "/", "GET", "200")
    metrics.event_age.labels("deploy-test")
    for name, labels in SELECTOR.findall(query):
        bound = re.search(r'\ble="([^"]+)"', labels)
        if bound is None:
            continue
        family = next(f for f in REGISTRY.collect() if name == f"{f.name}_bucket")
        assert bound.group(1) in {s.labels["le"] for s in family.samples if s.name == name}
