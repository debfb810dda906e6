"""A real Alertmanager pages Groundswell as if it were PagerDuty, or Opsgenie."""

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from tests.senders.capture import post_alerts
from tests.senders.groundswell import Groundswell
from tests.senders.integrations import PER_MINUTE, Integration, integration, refused_for_now
from tests.senders.monitoring import Alertmanager, configured
from tests.senders.programs import until

PAGERS = {
    "pagerduty": ("/v2/enqueue", "/v2/enqueue"),
    "opsgenie": ("/v2/alerts", "/v2/alerts/{alias}/close"),
}
"""Alertmanager's name of each notifier, and where it posts what begins, and what ends."""
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
        name: integration(system, name, signals_per_minute=limit) for name, limit in limited.items()
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
    return {**fired, "endsAt": datetime.now(UTC).isoformat()}


def fleet(name: str, pager: str, count: int) -> list[Json]:
    """So many alerts of this pager, each a group of its own, and so a page of its own."""
    return [alert(f"{name}{number:02}", pager) for number in range(count)]


def all_stand(accounts: Accounts, alerts: list[Json], state: str) -> bool:
    """Each of these alerts is a single incident of its pager's, and that stands so."""
    names = [(one["labels"]["pager"], one["labels"]["alertname"]) for one in alerts]
    found: dict[tuple[str, str], list[str]] = {name: [] for name in names}
    for pager in {pager for pager, _ in names}:
        for incident in accounts[pager].incidents():
            if (name := (pager, incident["alert_name"])) in found:
                found[name].append(incident["state"])
    return all(states == [state] for states in found.values())


@pytest.mark.parametrize("pager", PAGERS)
def test_an_alert_fires_repeats_resolves_and_fires_again(
    system: Groundswell, manager: Alertmanager, accounts: Accounts, pager: str
) -> None:
    account = accounts[pager]
    fired = alert("IndexStale", pager, nagging="yes")
    post_alerts(manager.url, [fired])
    [opened] = until(account.incidents, "an incident")
    assert opened["alert_name"] == "IndexStale"
    assert opened["title"].startswith("IndexStale (")
    assert opened["service"] == "search"
    assert opened["severity"] == "critical", "the alert's, and not that of the receiver"
    assert opened["state"] == "open"
    assert "IndexStale: the index is stale" in opened["description"]
    assert opened["labels"]["pager"] == pager

    told = account.told()
    until(lambda: account.told() >= told + 2, "it is told again")
    assert account.incidents() == [opened]
    assert {one["incident_id"] for one in account.signals()} == {opened["id"]}

    post_alerts(manager.url, [ended(fired)])
    until(lambda: account.states() == ["resolved"], "it is resolved")
    [resolved] = account.incidents()
    assert (resolved["id"], resolved["resolutions"]) == (opened["id"], 1)

    post_alerts(manager.url, [fired])
    until(lambda: account.states() == ["open", "resolved"], "it fires again: a new incident")
    post_alerts(manager.url, [ended(fired)])
    until(lambda: account.states() == ["resolved", "resolved"], "the new one is resolved")


@pytest.mark.parametrize("pager", PAGERS)
def test_what_is_refused_for_now_is_sent_again_until_it_is_taken(
    system: Groundswell, manager: Alertmanager, accounts: Accounts, pager: str
) -> None:
    account, (begins, ends) = accounts[f"{pager}-limited"], PAGERS[pager]
    alerts = fleet("ShardLost", account.source, 6)
    given_up = manager.metric("alertmanager_notifications_failed_total", integration=pager)
    refused = refused_for_now(system, begins)

    account.overspend(WAIT_SECONDS)
    post_alerts(manager.url, alerts)
    until(lambda: all_stand(accounts, alerts, "open"), "each is an open incident")
    assert refused_for_now(system, begins) > refused, "some were refused at first"
    firing = [one for one in account.signals() if one["status"] == "firing"]
    assert len(firing) == len(alerts), "nothing is kept of what was refused"

    refused = refused_for_now(system, ends)
    account.overspend(WAIT_SECONDS)
    post_alerts(manager.url, [ended(one) for one in alerts])
    until(lambda: all_stand(accounts, alerts, "resolved"), "each is resolved")
    assert refused_for_now(system, ends) > refused, "ends count as well"
    failed = manager.metric("alertmanager_notifications_failed_total", integration=pager)
    assert failed == given_up, "Alertmanager gave nothing up"


def test_pages_survive_a_kill_and_those_without_an_answer_come_again(
    system: Groundswell, manager: Alertmanager, accounts: Accounts
) -> None:
    early = [one for pager in PAGERS for one in fleet("DiskFull", pager, 15)]
    late = [one for pager in PAGERS for one in fleet("NodeDown", pager, 15)]
    every = early + late
    before = {pager: acknowledged(manager, pager) for pager in PAGERS}

    def taken(pager: str) -> int:
        return acknowledged(manager, pager) - before[pager]

    post_alerts(manager.url, early)
    until(lambda: any(map(taken, PAGERS)), "the first is taken", pause=0.001)
    post_alerts(manager.url, late)
    system.program.stop(SIGKILL)
    assert any(taken(pager) < 30 for pager in PAGERS), "it was killed in the middle"
    system.program.start()
    # Not before: Alertmanager tells no end of what it doesn't know to be taken.
    until(lambda: all(taken(pager) == 30 for pager in PAGERS), "every page is taken")
    system.settle()
    assert all_stand(accounts, every, "open")
    post_alerts(manager.url, [ended(one) for one in every])
    until(lambda: all_stand(accounts, every, "resolved"), "all of them are resolved")


def acknowledged(manager: Alertmanager, pager: str) -> int:
    """How many pages Groundswell answered with success, as Alertmanager logs it."""
    told = f'integration={pager}[0] msg="Notify success"'
    return manager.program.log.read_text(errors="replace").count(told)
