"""The rules of what only production overlays bring: monitoring, and the way in from outside."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.deploy.rules import Rule as AnyRule
from tests.deploy.rules import equals, has

MONITORED = ("production", "distributed-production")

Rule = partial(AnyRule, overlays=MONITORED)

BURN_WINDOWS = {
    "GroundswellIngestBudgetBurnsFast": ("1h", "5m", "6h", "30m"),
    "GroundswellIngestBudgetBurns": ("1d", "2h", "3d", "6h"),
    "GroundswellThemesLagFast": ("1h", "5m", "6h", "30m"),
    "GroundswellThemesLag": ("1d", "2h", "3d", "6h"),
}
MONITOR = "ServiceMonitor/groundswell"
ROUTE = "HTTPRoute/groundswell"
PROCESS = {
    "action": "replace",
    "sourceLabels": ["__meta_kubernetes_service_name"],
    "targetLabel": "process",
}
UNAUTHENTICATED = {"/metrics", "/livez", "/readyz"}


def _alerts(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (rule for group in groups for rule in group["rules"] if "alert" in rule)


def _burn_rates(groups: list[dict[str, Any]]) -> bool:
    """Both objectives, each fast and slow, each over a long and a short window."""
    expressions = {alert["alert"]: alert["expr"] for alert in _alerts(groups)}
    return all(
        all(f":ratio_rate{window} >" in expressions.get(name, "") for window in windows)
        for name, windows in BURN_WINDOWS.items()
    )


def _readable(groups: list[dict[str, Any]]) -> bool:
    """Every alert says how bad it is, what happens and what to do."""
    alerts = list(_alerts(groups))
    return bool(alerts) and all(
        alert["labels"]["severity"] in ("critical", "warning")
        and alert["annotations"].keys() >= {"summary", "description"}
        for alert in alerts
    )


def _keeps_inside(rules: list[dict[str, Any]]) -> bool:
    """The paths that ask for no key have a rule, and it leads nowhere."""
    dead_ends = {
        match["path"]["value"]
        for rule in rules
        if "backendRefs" not in rule and "filters" not in rule
        for match in rule["matches"]
    }
    return dead_ends >= UNAUTHENTICATED


def _alert(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "g", "rules": [{"alert": "A", "expr": "1", **fields}]}]


PRODUCTION_RULES = [
    Rule(
        "metrics are scraped where they are",
        MONITOR,
        "spec.endpoints.0.path",
        equals("/metrics"),
        ("/",),
    ),
    Rule(
        "metrics are scraped from the one port",
        MONITOR,
        "spec.endpoints.0.port",
        equals("http"),
        ("web",),
    ),
    Rule(
        "our own label `service` survives the scrape, and the Service is the process's name",
        MONITOR,
        "spec.endpoints.0.relabelings",
        equals([PROCESS, {"action": "labeldrop", "regex": "service"}]),
        ([], [PROCESS], [{"action": "labeldrop", "regex": "service"}]),
    ),
    Rule(
        "the job is called what the rules select",
        MONITOR,
        "spec.jobLabel",
        equals("app.kubernetes.io/name"),
        ("app",),
    ),
    Rule(
        "the monitor finds the Service",
        MONITOR,
        "spec.selector.matchLabels",
        equals({"app.kubernetes.io/name": "groundswell"}),
        ({},),
    ),
    Rule(
        "both objectives have burn-rate alerts over two windows each",
        "PrometheusRule/groundswell",
        "spec.groups",
        _burn_rates,
        ([], _alert(labels={"severity": "critical"})),
    ),
    Rule(
        "an alert says how bad it is and what to do",
        "PrometheusRule/groundswell",
        "spec.groups",
        _readable,
        (
            [],
            _alert(labels={"severity": "sev1"}, annotations={"summary": "s", "description": "d"}),
            _alert(labels={"severity": "critical"}, annotations={"summary": "s"}),
        ),
    ),
    Rule(
        "Grafana finds the dashboard",
        "ConfigMap/groundswell-dashboard",
        "metadata.labels",
        has(grafana_dashboard="1"),
        ({},),
    ),
    Rule(
        "the dashboard is there",
        "ConfigMap/groundswell-dashboard",
        "data",
        lambda d: "groundswell.json" in d,
        ({},),
    ),
    Rule(
        "keys travel over TLS only",
        ROUTE,
        "spec.parentRefs.0.sectionName",
        equals("https"),
        ("http",),
    ),
    AnyRule(
        "requests from outside reach the one process",
        ROUTE,
        "spec.rules.0.backendRefs",
        equals([{"name": "groundswell", "port": 8080}]),
        ([],),
        ("production",),
    ),
    AnyRule(
        "requests from outside reach the gateway and no service behind it",
        ROUTE,
        "spec.rules.0.backendRefs",
        equals([{"name": "gateway-api", "port": 8080}]),
        ([], [{"name": "incidents-api", "port": 8080}]),
        ("distributed-production",),
    ),
    Rule(
        "metrics and probes are not served outside",
        ROUTE,
        "spec.rules",
        _keeps_inside,
        ([], [{"matches": [{"path": {"value": "/metrics"}}]}]),
    ),
    AnyRule(
        "the memory asked for is the memory granted",
        "StatefulSet/groundswell",
        "spec.template.spec.containers.0.resources",
        lambda r: r["requests"]["memory"] == r["limits"]["memory"],
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},),
        ("production",),
    ),
]
