"""What is sent: lua scripts for wrk that write alerts as Prometheus sends them to an Alertmanager.

Nine in ten are repeats of HOT alerts, or none are. A new one is told from all others by a counter and
the name of its run, so that a body is the same wherever it is sent, and nothing is shared between runs.
A repeat says anew until when it holds, as Prometheus does.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HOT = 997
"""Alerts that repeat; a prime, so that counting in any step comes to each."""
NAMES = 50
SERVICES = 20
"""They make at most as many themes as their product."""

PROMETHEUS = """
local starts, run, hot, fresh, count = "{starts}", "{run}", {hot}, {fresh}, {alerts}
local n, second, ends = 0, 0, ""
local form = '{{"labels":{{"alertname":"Bench%02d","service":"bench-%02d","instance":"%s",' ..
  '"job":"bench","severity":"high","cluster":"eu-1"}},"annotations":{{"summary":"The error rate of ' ..
  'this instance is above 5 percent","runbook":"https://example.com/runbooks/errors"}},"startsAt":"' ..
  starts .. '","endsAt":"%s","generatorURL":"http://prometheus.example/graph"}}'

local function alert()
  n = n + 1
  local id, number
  if n % 10 < fresh then id, number = run .. n, n else number = n % hot; id = "hot-" .. number end
  return string.format(form, number % {names}, number % {services}, id, ends)
end

request = function()
  local now = os.time()
  if now ~= second then second = now; ends = os.date("!%Y-%m-%dT%H:%M:%SZ", now + 240) end
  local all = {{}}
  for i = 1, count do all[i] = alert() end
  return wrk.format("POST", nil, nil, "[" .. table.concat(all, ",") .. "]")
end
"""

ALERTA = """
local run, hot, fresh = "{run}", {hot}, {fresh}
local n = 0

request = function()
  n = n + 1
  local id, number
  if n % 10 < fresh then id, number = run .. n, n else number = n % hot; id = "hot-" .. number end
  return wrk.format("POST", nil, nil, string.format(
    '{{"resource":"%s","event":"Bench%02d","environment":"Production","severity":"major",' ..
    '"service":["bench-%02d"],"group":"bench","value":"5","text":"The error rate of this instance ' ..
    'is above 5 percent","origin":"bench"}}', id, number % {names}, number % {services}))
end
"""

FORMS = {"prometheus": PROMETHEUS, "alerta": ALERTA}

HEAD = 'wrk.headers["Content-Type"] = "application/json"\n'
PACED = "\ndelay = function() return {pause} end\n"


@dataclass(frozen=True)
class Shape:
    """How many alerts a request brings, and how many percent of them are repeats: 90 or 0."""

    alerts: int = 1
    repeats: int = 90
    starts: str = ""
    """When every alert began, so that repeats of it are known as such; now, when empty."""


def starting_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def script(
    folder: Path, shape: Shape, run: str, *, form: str = "prometheus", pause: int = 0
) -> Path:
    """Write a script; what is new in it is new under this `run`. `pause`: ms between requests."""
    text = HEAD + FORMS[form].format(
        starts=shape.starts or starting_now(),
        run=run,
        hot=HOT // 10 if form == "alerta" else HOT,
        fresh=10 - shape.repeats // 10,
        alerts=shape.alerts,
        names=NAMES,
        services=SERVICES,
    )
    path = folder / f"{run}.lua"
    path.write_text(text + (PACED.format(pause=pause) if pause else ""))
    return path


def hot_alerts(shape: Shape) -> list[dict[str, Any]]:
    """Every alert that repeats, as the script writes it: sent once before, each of it is a repeat."""
    ends = datetime.now(UTC) + timedelta(minutes=4)
    return [
        {
            "labels": {
                "alertname": f"Bench{number % NAMES:02}",
                "service": f"bench-{number % SERVICES:02}",
                "instance": f"hot-{number}",
                "job": "bench",
                "severity": "high",
                "cluster": "eu-1",
            },
            "annotations": {},
            "startsAt": shape.starts,
            "endsAt": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        }
        for number in range(HOT)
    ]


def hot_events() -> list[dict[str, Any]]:
    """The same for Alerta."""
    return [
        {
            "resource": f"hot-{number}",
            "event": f"Bench{number % NAMES:02}",
            "environment": "Production",
            "severity": "major",
            "service": [f"bench-{number % SERVICES:02}"],
        }
        for number in range(HOT // 10)
    ]


def first_posts(shape: Shape, form: str) -> list[bytes]:
    """What makes all that repeats known."""
    if form == "alerta":
        return [json.dumps(one).encode() for one in hot_events()]
    alerts = hot_alerts(shape)
    return [json.dumps(alerts[i : i + 100]).encode() for i in range(0, HOT, 100)]
