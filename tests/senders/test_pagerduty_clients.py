"""PagerDuty's own two Python packages, unmodified, speak to Groundswell as to PagerDuty.

The older one takes an http address, and so posts to it directly; the newer one wants https.
"""

import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pagerduty
import pytest

from tests.senders.groundswell import Groundswell
from tests.senders.integrations import PER_MINUTE, Integration, integration, refused_for_now
from tests.senders.programs import until
from tests.senders.tls import tls_before

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # that there is a newer one
    import pdpyras

COOLDOWN_SECONDS = 0.4
"""Until a client's second attempt; each further one waits twice as long. Theirs is 3."""
ATTEMPTS = 6
"""After so many a client gives up. Theirs are endless when it is told to wait, and else 3."""
WAIT_SECONDS = 2.0
"""How long a limited sender is refused."""

Client = Any
"""Either package's: `trigger`, `acknowledge` and `resolve`, each answers with the dedup_key."""
Connect = Callable[[str], Client]
"""A client with this routing key."""
Submit = Callable[..., object]


@pytest.fixture(scope="module", params=["pdpyras", "pagerduty"])
def package(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def connect(package: str, system: Groundswell, folder: Path) -> Generator[Connect]:
    with ExitStack() as stack:
        if package == "pagerduty":
            url, trust = stack.enter_context(tls_before(system.port, folder))

        def connected(key: str) -> Client:
            if package == "pagerduty":
                own = {"base_url": url, "verify": trust, "trust_env": False}
                client = stack.enter_context(pagerduty.EventsApiV2Client(key, **own))
            else:
                client = stack.enter_context(pdpyras.EventsAPISession(key))
                client.url, client.trust_env = system.url, False
            client.sleep_timer = COOLDOWN_SECONDS / 2
            client.max_network_attempts = client.retry[429] = ATTEMPTS
            return client

        yield connected


@pytest.fixture(scope="module")
def account(system: Groundswell, package: str) -> Integration:
    return integration(system, package, service="billing")


@pytest.fixture(scope="module")
def client(connect: Connect, account: Integration) -> Client:
    return connect(account.key)


@pytest.fixture(scope="module")
def submit(package: str, system: Groundswell, client: Client, account: Integration) -> Submit:
    """Tells a change; the older package has a client of its own for it."""
    if package == "pagerduty":
        return client.submit
    changes = pdpyras.ChangeEventsAPISession(account.key)
    changes.url, changes.trust_env = system.url, False
    return changes.submit


def of(account: Integration, dedup_key: str) -> list[Any]:
    return [one for one in account.incidents() if one["fingerprint"] == dedup_key]


def states(account: Integration, dedup_key: str) -> list[str]:
    return [one["state"] for one in of(account, dedup_key)]


def test_an_alert_is_triggered_repeated_acknowledged_and_resolved(
    client: Client, account: Integration
) -> None:
    details = {"region": "eu-north", "invoices": 41}
    said = {"severity": "error", "custom_details": details}
    said["links"] = [{"href": "https://runbooks.example/billing", "text": "Runbook"}]
    key = client.trigger("Invoices are not sent", "billing-7", **said)
    assert key
    [opened] = of(account, key)
    assert opened["title"] == "Invoices are not sent"
    assert opened["service"] == "billing", "of the integration: the event names none"
    assert opened["severity"] == "high"
    assert opened["state"] == "open"
    assert opened["labels"] == {"instance": "billing-7", "region": "eu-north", "invoices": "41"}

    assert client.trigger("Invoices are not sent", "billing-7", key, **said) == key
    assert of(account, key) == [opened]
    assert client.acknowledge(key) == key
    assert states(account, key) == ["acknowledged"]
    assert client.trigger("Invoices are not sent", "billing-7", key, **said) == key
    assert states(account, key) == ["acknowledged"]
    assert client.resolve(key) == key
    assert states(account, key) == ["resolved"]
    assert client.resolve(key) == key
    assert client.acknowledge(key) == key, "too late: dropped, as by PagerDuty"
    assert states(account, key) == ["resolved"]
    assert client.trigger("Invoices are not sent", "billing-7", key, **said) == key
    assert states(account, key) == ["open", "resolved"]


def test_a_trigger_without_a_key_is_given_a_new_one_each_time(
    client: Client, account: Integration
) -> None:
    keys = {client.trigger("The export failed", "billing-7") for _ in range(3)}
    assert len(keys) == 3
    assert all(states(account, key) == ["open"] for key in keys)


def test_a_change_is_recorded_once_though_it_is_told_twice(
    system: Groundswell, submit: Submit, account: Integration
) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    details = {"service": "billing", "kind": "deployment", "revision": "9f3c2ab"}
    links = [{"href": "https://ci.example/builds/41", "text": "Build 41"}]
    said = {"custom_details": details, "links": links, "timestamp": at.isoformat()}
    for _ in range(2):
        submit("Deployed billing 2.4.1", "ci", **said)
    every = system.all("/v1/changes")
    [change] = [one for one in every if one["source"] == account.source]
    assert change["title"] == "Deployed billing 2.4.1"
    assert (change["service"], change["kind"]) == ("billing", "deployment")
    assert (change["revision"], change["url"]) == ("9f3c2ab", links[0]["href"])
    assert datetime.fromisoformat(change["at"]) == at


def test_a_key_that_is_no_integrations_is_an_error_to_the_client(
    system: Groundswell, connect: Connect, package: str
) -> None:
    refusal = pagerduty.HttpError if package == "pagerduty" else pdpyras.PDHTTPError
    with pytest.raises(refusal) as raised:
        connect("0123456789abcdef0123456789abcdef").trigger("Nobody's", "billing-7", "nobody's")
    answer = raised.value.response
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid event")
    assert "routing_key" in answer.json()["errors"][0]
    every = system.incidents()
    assert [one for one in every if one["fingerprint"] == "nobody's"] == []


def test_a_client_that_is_over_its_limit_waits_and_is_taken(
    system: Groundswell, connect: Connect, package: str
) -> None:
    limited = integration(system, f"{package}-limited", signals_per_minute=PER_MINUTE)
    client = connect(limited.key)
    refused = refused_for_now(system, "/v2/enqueue")
    limited.overspend(WAIT_SECONDS)
    assert client.trigger("The ledger is locked", "billing-7", "ledger") == "ledger"
    assert refused_for_now(system, "/v2/enqueue") > refused
    assert states(limited, "ledger") == ["open"]
    limited.overspend(WAIT_SECONDS)
    assert client.resolve("ledger") == "ledger"
    assert states(limited, "ledger") == ["resolved"]
    kept = [one for one in limited.signals() if one["fingerprint"] == "ledger"]
    assert len(kept) == 2, "nothing is kept of what was refused"


def test_what_is_triggered_while_groundswell_is_killed_arrives(
    system: Groundswell, client: Client, account: Integration
) -> None:
    keys = [f"batch-{number:02}" for number in range(30)]
    answered: list[str] = []

    def trigger_all() -> None:
        answered.extend(client.trigger(f"{key} failed", "billing-7", key) for key in keys)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(trigger_all)
        until(lambda: len(answered) >= len(keys) // 3, "some are taken", pause=0.001)
        system.program.stop(SIGKILL)
        assert len(answered) < len(keys), "it was killed in the middle"
        system.program.start()
        done.result(60)
    assert answered == keys
    assert {key: states(account, key) for key in keys} == {key: ["open"] for key in keys}
    for key in keys:
        client.resolve(key)
    system.settle()
    assert {key: states(account, key) for key in keys} == {key: ["resolved"] for key in keys}
