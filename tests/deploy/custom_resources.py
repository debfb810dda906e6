"""The shape of the custom resources that the overlays use, as their operators' definitions have it.

Only the fields in use here are listed, and no others are let through: a misspelt field fails.
"""

from typing import Any


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def _resource(api_version: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _object("name namespace labels", name=TEXT, namespace=TEXT, labels=LABELS)
    return _object(
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

_relabeling = _object(
    "action", action={"enum": ["labeldrop", "replace", "keep", "drop"]}, regex=TEXT
)

_endpoint = _object(
    "port",
    port=TEXT,
    path=TEXT,
    scheme={"enum": ["http", "https"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    relabelings=_list(_relabeling),
)

_service_monitor = _object(
    "selector endpoints",
    jobLabel=TEXT,
    selector=_object("matchLabels", matchLabels=LABELS),
    endpoints=_list(_endpoint),
)

_recorded = _object("record expr", record=TEXT, expr=TEXT)
_alert = _object(
    "alert expr",
    **{"alert": TEXT, "expr": TEXT, "for": DURATION, "labels": LABELS, "annotations": LABELS},
)
_group = _object(
    "name rules", name=TEXT, interval=DURATION, rules=_list({"oneOf": [_recorded, _alert]})
)

_parent = _object("name", name=TEXT, namespace=TEXT, sectionName=TEXT)
_path = _object("type value", type={"enum": ["Exact", "PathPrefix"]}, value={"pattern": "^/"})
_backend = _object("name port", name=TEXT, port=PORT)
_rule = _object(
    "matches",
    matches=_list(_object("path", path=_path)),
    backendRefs=_list(_backend),
)

SCHEMAS = {
    "ServiceMonitor": _resource("monitoring.coreos.com/v1", _service_monitor),
    "PrometheusRule": _resource(
        "monitoring.coreos.com/v1", _object("groups", groups=_list(_group))
    ),
    "HTTPRoute": _resource(
        "gateway.networking.k8s.io/v1",
        _object(
            "parentRefs rules", parentRefs=_list(_parent), hostnames=_list(TEXT), rules=_list(_rule)
        ),
    ),
}
