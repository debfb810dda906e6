"""A real Alertmanager pages Groundswell as if it were PagerDuty, or Opsgenie."""

import time
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.senders.capture import post_alerts
from tests.senders.groundswell import Groundswell
from tests.senders.integrations import PER_MINUTE, Integration, integration, refused_for_now
from tests.senders.monitoring import Alertmanager, configured
from tests.senders.programs import until

PAGERS = {"pagerduty": "/v2/enqueue", "opsgenie": "/v2/alerts"}
"""Alertmanager's name of each notifier, and where it posts to."""
WAIT_SECONDS = 2.0
"""How long a limited sender is refused."""

Json = Any
Accounts = dict[str, Integration]


@pytest.fixture(scope="module")
def accounts(system: Groundswell) -> Accounts:
    """Two of either pager: one may send what it likes, the other so much a minute."""
    free = {pager: integration(system, pager) for pager in PAGERS}
    limited = {f"{pager}-limited": PER_MINUTE for pager in PAGERS}
    return free | {
        name: integration(system, name, signals_per_minute=limit)
        for name, limit in limited.items()
    }


@pytest.fixture(scope="module")
def manager(folder: Path, system: Groundswell, accounts: Accounts) -> Generator[Alertmanager]:
    """Pages by the alert's label `pager`. It repeats itself each second if `nagging` is said."""
    config = {
        "route": {
            "receiver": "pagerduty",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": [f'pager="{name}"'],
                    "receiver": name,
                    "routes": [{"matchers": ['nagging="yes"'], "repeat_interval": "1s"}],
                }
                for name in accounts
            ],
        },
        "receivers": [receiver(one) for one in accounts.values()],
    }
    with configured(folder, config) as running:
        yield running


def receiver(account: Integration) -> Json:
    """As an operator writes it: nothing but the address differs from the real pager's."""
    told = {"send_resolved": True}
    if account.source.startswith("pagerduty"):
        url = f"{account.system.url}/v2/enqueue"
        own = {**told, "routing_key": account.key, "url": url, "severity": "warning"}
        return {"name": account.source, "pagerduty_configs": [own]}
    own = {**told, "api_key": account.key, "api_url": f"{account.system.url}/"}
    return {"name": account.source, "opsgenie_configs": [own]}


def alert(name: str, pager: str, **labels: str) -> Json:
    said = {"alertname": name, "service": "search", "severity": "critical", "pager": pager}
    return {"labels": said | labels, "annotations": {"summary": f"{name}: the index is stale"}}


def ended(fired: Json) -> Json:
    now = datetime.fromtimestamp(time.time()).astimezone().isoformat()
    return {**fired, "startsAt": "2026-11-20T12:00:00Z", "endsAt": now}


def of(account: Integration, name: str) -> list[Json]:
    return [one for one in account.incidents() if one["alert_name"] == name]


@pytest.mark.parametrize("pager", PAGERS)
def test_an_alert_fires_repeats_and_resolves(
    manager: Alertmanager, accounts: Accounts, pager: str
) -> None:
    account = accounts[pager]
    fired = alert("IndexStale", pager, nagging="yes")
    post_alerts(manager.url, [fired])
    [incident] = until(account.incidents, "an incident")
    print(incident)
    print(account.signals())
    told = account.told()
    until(lambda: account.told() >= told + 2, "it is told again")
    print(account.signals())
    post_alerts(manager.url, [ended(fired)])
    until(lambda: account.states() == ["resolved"], "it is resolved")
    print(account.incidents())
    assert 0
