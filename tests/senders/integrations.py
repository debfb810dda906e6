"""Accounts of senders at a real Groundswell, and what came of what they sent."""

from dataclasses import dataclass
from typing import Any

from tests.senders.groundswell import Groundswell
from tests.senders.programs import until

PER_MINUTE = 120
"""What a limited integration may send in these tests: one more signal each half second."""

Json = Any


@dataclass(frozen=True)
class Integration:
    """One sender's account. Its signals come from `source`, which is also what it is called."""

    system: Groundswell
    source: str
    key: str

    def signals(self) -> list[Json]:
        """Every signal that was kept of it."""
        return [one for one in self.system.all("/v1/signals") if one["source"] == self.source]

    def incidents(self) -> list[Json]:
        """Every incident of its alerts, the newest first."""
        return [one for one in self.system.incidents() if one["source"] == self.source]

    def states(self) -> list[str]:
        """How its incidents stand, the newest first."""
        return [one["state"] for one in self.incidents()]

    def told(self) -> int:
        """How often it said anything that was taken: signals, and what was said of them again."""
        return sum(1 + one["repeats"] for one in self.signals())

    def overspend(self, seconds: float) -> None:
        """Use up its limit, whatever it had left, and so much more that it has to wait this long."""
        too_many = int(seconds * PER_MINUTE / 60)
        signal = {"title": "Too much", "fingerprint": "too much", "status": "resolved"}
        headers = {"Authorization": f"Bearer {self.key}"}

        def taken() -> bool:
            posted = self.system.api.post("/v1/signals", json=[signal] * too_many, headers=headers)
            assert posted.status_code in (202, 429), posted.text
            return posted.status_code == 202

        until(lambda: not taken(), "nothing of its limit is left", pause=0.0)
        until(taken, "as soon as there was something, far more was taken")


def integration(
    system: Groundswell,
    source: str,
    service: str | None = None,
    signals_per_minute: int | None = None,
) -> Integration:
    """A new account with its first key."""
    body = {"name": f"{source}'s", "source": source, "service": service}
    made = system.post("/v1/integrations", {**body, "signals_per_minute": signals_per_minute})
    return Integration(system, source, made["key"])


def refused_for_now(system: Groundswell, path: str) -> float:
    """How many posts to this address were answered with a 429."""
    return system.metric("http_server_requests_total", route=path, code="429")
