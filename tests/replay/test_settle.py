"""Waiting ends when nothing is on its way and the candidates rest; or when patience ends."""

from collections.abc import Iterator

import httpx
import pytest

from services.replay import settle as settling
from services.replay.settle import settle

Look = tuple[int, float]
"""Events on their way, and the score of the one candidate."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(settling, "REST_SECONDS", 0.02)


def client_seeing(looks: Iterator[Look], metrics_status: int = 200) -> httpx.AsyncClient:
    now: Look = (0, 0.0)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal now
        if request.url.path == "/metrics":
            now = next(looks)
            text = (
                "# TYPE outbox_pending gauge\n"
                f'outbox_pending{{service="a"}} {now[0]}\n'
                "# TYPE consumer_lag_records gauge\n"
                f'consumer_lag_records{{group="b",topic="c",partition="0"}} {now[0]}\n'
            )
            return httpx.Response(metrics_status, text=text)
        return httpx.Response(200, json={"items": [{"id": "cnd", "version": 1, "score": now[1]}]})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x.test")


def then_for_ever(*looks: Look) -> Iterator[Look]:
    yield from looks
    while True:
        yield looks[-1]


async def test_it_waits_for_what_is_on_its_way_and_for_what_still_moves() -> None:
    heard: list[int] = []
    moving = [(3, 0.0), (1, 0.0), (0, 1.0), (0, 2.0), (0, 3.0)]
    async with client_seeing(then_for_ever(*moving)) as client:
        assert await settle(client, 10.0, heard.append)
    assert heard[:3] == [6, 2, 0]
    assert len(heard) > len(moving)


@pytest.mark.parametrize("look", [(1, 0.0), None])
async def test_it_gives_up_when_nothing_comes_to_rest(look: Look | None) -> None:
    restless = ((0, float(number)) for number in range(1_000_000))
    async with client_seeing(then_for_ever(look) if look else restless) as client:
        assert not await settle(client, 0.2, lambda _: None)


async def test_where_the_metrics_are_not_shown_the_candidates_alone_tell() -> None:
    async with client_seeing(then_for_ever((7, 1.0)), metrics_status=404) as client:
        assert await settle(client, 10.0, lambda _: None)
