"""More than the system takes at once: refused before any of it is written, as each sender needs it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.whole.conftest import system_at
from tests.whole.system import System, check_refusal, quiet

ROOM = 5
POSTS = 240
EACH = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system in which only a few signals may wait."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GROUNDSWELL_INCIDENTS_MAX_WAITING_SIGNALS", str(ROOM))
        with system_at(tmp_path_factory.mktemp("small")) as found:
            yield found


def alerts(post: int) -> list[dict[str, Any]]:
    """What one post holds; no other post holds any of it."""
    return [
        {"labels": {"alertname": f"Overload{post}", "number": str(number)}}
        for number in range(EACH)
    ]


def body(path: str, post: int) -> Any:
    """The post as this address wants it."""
    if path == "/api/v2/alerts":
        return alerts(post)
    if path == "/ingest/alertmanager":
        return {"alerts": [{"status": "firing", **one} for one in alerts(post)]}
    return [{"title": f"Overload{post}", "labels": one["labels"]} for one in alerts(post)]


async def flood(system: System, path: str) -> list[httpx.Response]:
    """All posts at once."""
    headers = {"Authorization": f"Bearer {system.admin_key}"}
    limits = httpx.Limits(max_connections=80)
    async with httpx.AsyncClient(
        base_url=system.url, headers=headers, limits=limits, timeout=60, trust_env=False
    ) as client:
        posts = [client.post(path, json=body(path, number)) for number in range(POSTS)]
        return await asyncio.gather(*posts)


def stored(system: System) -> Counter[str]:
    """How many signals of each post there are, read page by page."""
    found: Counter[str] = Counter()
    cursor: str | None = None
    with system.client() as client:
        while True:
            page = client.get("/v1/signals", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
            found.update(one["labels"]["alertname"] for one in page.json()["items"])
            cursor = page.json()["next"]
            if cursor is None:
                return found


@pytest.mark.parametrize(
    ("path", "taken", "refused"),
    [("/api/v2/alerts", 200, 503), ("/ingest/alertmanager", 202, 503), ("/v1/signals", 202, 429)],
)
def test_an_overload_is_told_to_each_sender_in_the_status_on_which_it_tries_again(
    path: str, taken: int, refused: int, tmp_path_factory: pytest.TempPathFactory, small: System
) -> None:
    before = stored(small)
    answers = asyncio.run(flood(small, path))
    assert {answer.status_code for answer in answers} == {taken, refused}
    for answer in answers:
        if answer.status_code == refused:
            assert int(answer.headers["retry-after"]) >= 1
            assert "send it again" in check_refusal(answer)["detail"]
    quiet(small)
    held = stored(small) - before
    for number, answer in enumerate(answers):
        name = f"Overload{number}"
        if answer.status_code == taken and before[name] == 0:
            assert held[name] == EACH, f"{name} was taken and is not all there"
        if answer.status_code == refused:
            assert held[name] == 0, f"{name} was refused and is partly there"
