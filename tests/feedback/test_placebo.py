"""Themes that nobody fixed: hardly any of them may be called verified.

The simulated ones cluster within weeks, carry their rate over from week to week and share the
ups and downs of their product, as real ones do. The real ones are the subcategories of a ServiceNow
log; that test exists only where GROUNDSWELL_SERVICENOW_LOG names the log, a CSV or a zip of it.
"""

import csv
import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.feedback.outcomes.rates import NO_OVERDISPERSION, Rate, compare
from services.feedback.outcomes.verdict import OutcomePolicy, judge

START = datetime(2026, 1, 5, tzinfo=UTC)
MOST_FALSELY_VERIFIED = 0.05
POLICY = OutcomePolicy()
WEEKS_AFTER = POLICY.window_days // 7


@dataclass(frozen=True)
class World:
    """How themes behave: weeks of history, and the size, carry-over and sway of their rates."""

    history: int
    size: float
    carry: float
    sway: float


WORLDS = {
    "young and clustered": World(history=8, size=4, carry=0.0, sway=0.0),
    "young and carried over": World(history=8, size=4, carry=0.5, sway=0.3),
    "old and carried over": World(history=26, size=4, carry=0.6, sway=0.4),
    "old and very clustered": World(history=26, size=2, carry=0.3, sway=0.3),
}


def swaying(
    random: np.random.Generator, weeks: int, carry: float, sway: float
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Factors around 1, each resembling the one before (a log-normal AR(1))."""
    steps = random.normal(size=weeks)
    for week in range(1, weeks):
        steps[week] = carry * steps[week - 1] + (1 - carry**2) ** 0.5 * steps[week]
    return np.exp(sway * steps - sway**2 / 2)


def themes_of_a_product(
    random: np.random.Generator, world: World, themes: int = 25
) -> list[list[datetime]]:
    weeks = world.history + WEEKS_AFTER
    together = swaying(random, weeks, 0.5, 0.2)
    found: list[list[datetime]] = []
    for mean in np.exp(random.uniform(np.log(0.7), np.log(12), themes)):
        rates = mean * together * swaying(random, weeks, world.carry, world.sway)
        counts = random.poisson(rates * random.gamma(world.size, 1 / world.size, weeks))
        offsets = np.repeat(np.arange(weeks), counts) + random.uniform(size=int(counts.sum()))
        found.append([START + timedelta(weeks=float(offset)) for offset in offsets])
    return found


def trials(world: World, products: int = 12) -> Iterator[tuple[list[datetime], list[datetime]]]:
    """A theme and all others of its product, again and again."""
    random = np.random.default_rng(20261121)
    for _ in range(products):
        themes = themes_of_a_product(random, world)
        for number, theme in enumerate(themes):
            yield theme, [at for other in (*themes[:number], *themes[number + 1 :]) for at in other]


def delivery(world: World) -> datetime:
    return START + timedelta(weeks=world.history)


def share(found: Sequence[bool]) -> float:
    assert len(found) > 200
    return sum(found) / len(found)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_themes_without_a_fix_are_hardly_ever_verified(world: World) -> None:
    delivered_at = delivery(world)
    end = delivered_at + timedelta(weeks=WEEKS_AFTER)
    verdicts = [
        judge(theme, others, delivered_at, end, POLICY, 0.5) for theme, others in trials(world)
    ]
    judged = [found for found in verdicts if found.reason != "too_few_before"]
    falsely = share([found.outcome == "verified" for found in judged])
    assert falsely <= MOST_FALSELY_VERIFIED


def test_asking_every_week_does_not_verify_more_of_them() -> None:
    world = WORLDS["old and carried over"]
    delivered_at = delivery(world)
    looks = [delivered_at + timedelta(weeks=week) for week in range(2, WEEKS_AFTER + 1)]
    falsely = share(
        [
            any(
                judge(theme, others, delivered_at, look, POLICY, 0.5).outcome == "verified"
                for look in looks
            )
            for theme, others in trials(world, products=10)
        ]
    )
    assert falsely <= MOST_FALSELY_VERIFIED


def test_a_plain_before_and_after_test_would_verify_many_of_them() -> None:
    world = WORLDS["old and carried over"]
    delivered_at, window = delivery(world), timedelta(weeks=WEEKS_AFTER)
    found: list[bool] = []
    for theme, _ in trials(world):
        before = sum(delivered_at - window < at <= delivered_at for at in theme)
        after = sum(delivered_at < at <= delivered_at + window for at in theme)
        if before >= POLICY.min_count_before:
            plain = compare(Rate(before, 56), Rate(after, 56), NO_OVERDISPERSION)
            found.append(plain.p_fewer <= 0.025)
    assert share(found) > 3 * MOST_FALSELY_VERIFIED


def test_themes_with_a_thorough_fix_are_mostly_verified() -> None:
    world = WORLDS["old and carried over"]
    delivered_at = delivery(world)
    end = delivered_at + timedelta(weeks=WEEKS_AFTER)
    found: list[bool] = []
    for theme, others in trials(world):
        fixed = [at for place, at in enumerate(theme) if at <= delivered_at or place % 10 == 0]
        if sum(delivered_at - timedelta(weeks=8) < at <= delivered_at for at in fixed) >= 16:
            outcome = judge(fixed, others, delivered_at, end, POLICY, 0.5).outcome
            found.append(outcome == "verified")
    assert sum(found) / len(found) > 0.6


LOG = os.environ.get("GROUNDSWELL_SERVICENOW_LOG", "")


def opened_by_subcategory(path: Path) -> dict[str, list[datetime]]:
    """When the incidents of each subcategory were opened, from the log's first row of each."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".csv"))
            text = archive.read(name).decode()
    else:
        text = path.read_text()
    seen: set[str] = set()
    opened: defaultdict[str, list[datetime]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        if row["number"] not in seen:
            seen.add(row["number"])
            at = datetime.strptime(row["opened_at"], "%d/%m/%Y %H:%M").replace(tzinfo=UTC)
            opened[row["subcategory"]].append(at)
    return opened


if LOG:

    def test_real_subcategories_without_a_fix_are_hardly_ever_verified() -> None:
        opened = opened_by_subcategory(Path(LOG))
        first = min(min(times) for times in opened.values())
        last = max(max(times) for times in opened.values())
        window = (last - first).days // 2
        policy = OutcomePolicy(window_days=window)
        judged: list[bool] = []
        for days in range(window - 2, window + 3):
            delivered_at = first + timedelta(days=days)
            for name, times in opened.items():
                others = [at for other, some in opened.items() if other != name for at in some]
                found = judge(times, others, delivered_at, last, policy, 0.5)
                if found.reason != "too_few_before":
                    judged.append(found.outcome == "verified")
        assert share(judged) <= MOST_FALSELY_VERIFIED
