"""The shape of the custom resources that the overlays use, as their operators' definitions have it.

Only the fields in use here are listed, and no others are let through: a misspelt field fails.
"""

from typing import Any


def shape(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def several(items: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def resource(api_version: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = shape("name namespace labels", name=TEXT, namespace=TEXT, labels=LABELS)
    return shape(
        "apiVersion kind metadata spec",
        apiVersion={"const": api_version},
        kind=TEXT,
        metadata=metadata,
        spec=spec,
    )


TEXT = {"type": "string", "minLength": 1}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w|y))+$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}

_relabeling = shape(
    "action",
    action={"enum": ["labeldrop", "replace", "keep", "drop"]},
    regex=TEXT,
    sourceLabels=several(TEXT),
    targetLabel=TEXT,
)

_endpoint = shape(
    "port",
    port=TEXT,
    path=TEXT,
    scheme={"enum": ["http", "https"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    relabelings=several(_relabeling),
)

_service_monitor = shape(
    "selector endpoints",
    jobLabel=TEXT,
    selector=shape("matchLabels", matchLabels=LABELS),
    endpoints=several(_endpoint),
)

_recorded = shape("record expr", record=TEXT, expr=TEXT)
_alert = shape(
    "alert expr",
    **{"alert": TEXT, "expr": TEXT, "for": DURATION, "labels": LABELS, "annotations": LABELS},
)
_group = shape(
    "name rules", name=TEXT, interval=DURATION, rules=several({"oneOf": [_recorded, _alert]})
)

_parent = shape("name", name=TEXT, namespace=TEXT, sectionName=TEXT)
_path = shape("type value", type={"enum": ["Exact", "PathPrefix"]}, value={"pattern": "^/"})
_backend = shape("name port", name=TEXT, port=PORT)
_rule = shape(
    "matches",
    matches=several(shape("path", path=_path)),
    backendRefs=several(_backend),
)

SCHEMAS = {
    "ServiceMonitor": resource("monitoring.coreos.com/v1", _service_monitor),
    "PrometheusRule": resource("monitoring.coreos.com/v1", shape("groups", groups=several(_group))),
    "HTTPRoute": resource(
        "gateway.networking.k8s.io/v1",
        shape(
            "parentRefs rules",
            parentRefs=several(_parent),
            hostnames=several(TEXT),
            rules=several(_rule),
        ),
    ),
}
