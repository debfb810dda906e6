"""More than the system takes at once: refused before any of it is written, as each sender needs it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.whole.conftest import system_at
from tests.whole.system import System, check_refusal, quiet, summary

ROOM = 5
POSTS = 80
EACH = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system in which only a few signals may wait."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GROUNDSWELL_INCIDENTS_MAX_WAITING_SIGNALS", str(ROOM))
        with system_at(tmp_path_factory.mktemp("small")) as found:
            yield found


def named(path: str, post: int) -> str:
    """The alert name of all that one post holds, and of nothing else."""
    return f"Overload of {path} {post}"


def body(path: str, post: int) -> Any:
    """The post as this address wants it."""
    labels = [{"alertname": named(path, post), "number": str(n)} for n in range(EACH)]
    if path == "/api/v2/alerts":
        return [{"labels": one} for one in labels]
    if path == "/ingest/alertmanager":
        return {"alerts": [{"status": "firing", "labels": one} for one in labels]}
    return [{"title": "Overload", "labels": one} for one in labels]


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
    asked: dict[str, Any] = {"limit": 200}
    with system.client() as client:
        while True:
            page = client.get("/v1/signals", params=asked).json()
            found.update(one["labels"]["alertname"] for one in page["items"])
            if page["next"] is None:
                return found
            asked["cursor"] = page["next"]


@pytest.mark.parametrize(
    ("path", "taken", "refused"),
    [("/api/v2/alerts", 200, 503), ("/ingest/alertmanager", 202, 503), ("/v1/signals", 202, 429)],
)
def test_an_overload_is_told_to_each_sender_in_the_status_on_which_it_tries_again(
    path: str, taken: int, refused: int, small: System
) -> None:
    before = total(small)
    answers = asyncio.run(flood(small, path))
    assert {answer.status_code for answer in answers} == {taken, refused}
    held = stored(small)
    for number, answer in enumerate(answers):
        if answer.status_code == refused:
            assert int(answer.headers["retry-after"]) >= 1
            assert "send it again" in check_refusal(answer)["detail"]
            assert held[named(path, number)] == 0, f"{number} was refused and is partly there"
        else:
            assert held[named(path, number)] == EACH, f"{number} was taken and is not all there"
    kept = [answer for answer in answers if answer.status_code == taken]
    assert total(small) - before == EACH * len(kept)

    with small.client() as client:
        for number, answer in enumerate(answers):
            if answer.status_code == refused:
                assert client.post(path, json=body(path, number)).status_code == taken
    assert total(small) - before == EACH * POSTS


def total(system: System) -> int:
    """The signals there are, as the system counts them once it has come to rest."""
    quiet(system)
    return summary(system)["signals"]
