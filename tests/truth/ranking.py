"""How good a choice of 20 themes at each cut was, against all themes and against mere size.

It knows neither the log nor the scores: it is given outcomes, and a way to choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from servicenow_log import Outcome, Theme

from services.roadmap.scores.numbers import EvidenceNumbers

Floats = NDArray[np.float64]
Ranker = Callable[[EvidenceNumbers], float]
#: Given a cut's themes and how often each is taken in each row, the share of each in the top.
Choice = Callable[[list[Outcome], Floats], Floats]

TOP = 20


@dataclass(frozen=True)
class Sums:
    """Added over the cuts, one entry per resample: of the top, and of all themes."""

    top: Floats
    top_hits: Floats
    top_by_size: Floats
    top_later: Floats
    top_linked: Floats
    cuts: Floats
    base_rates: Floats
    all_later: Floats
    all_linked: Floats

    def lift(self) -> Floats:
        """Precision at 20, divided by the base rate: the mean over the cuts of both."""
        return _ratio(self.top_hits * self.cuts, self.top * self.base_rates)

    def against_size(self) -> Floats:
        """Hits, divided by those that the size of the same themes leads one to expect."""
        return _ratio(self.top_hits, self.top_by_size)

    def per_incident(self) -> Floats:
        """Share of later incidents that were linked, divided by that share over all themes."""
        return _ratio(self.top_linked * self.all_later, self.top_later * self.all_linked)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; not a number where there is nothing to divide by."""
    nothing = np.full_like(whole, np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)


def measure(cuts: Sequence[list[Outcome]], choose: Choice, copies: dict[Theme, Floats]) -> Sums:
    """What the chosen 20 of each cut come to, with each theme there `copies` times."""
    sums = [_sums_at(outcomes, choose, copies) for outcomes in cuts]
    return Sums(*(np.sum(column, axis=0) for column in zip(*sums, strict=True)))


def _sums_at(outcomes: list[Outcome], choose: Choice, copies: dict[Theme, Floats]) -> list[Floats]:
    taken = np.stack([copies[outcome.theme] for outcome in outcomes], axis=1)
    top = taken * choose(outcomes, taken)
    later = np.array([float(outcome.later) for outcome in outcomes])
    linked = np.array([float(outcome.later_linked) for outcome in outcomes])
    hits = (linked > 0).astype(np.float64)
    ones = np.ones_like(hits)
    of_top = [top @ column for column in (ones, hits, hits_by_size(later, hits), later, linked)]
    rate = _ratio(taken @ hits, taken @ ones)
    return [*of_top, np.ones_like(rate), rate, taken @ later, taken @ linked]


def top_of(ranker: Ranker) -> Choice:
    """Choose the 20 highest; themes tied at the edge share the places that are left."""

    def choose(outcomes: list[Outcome], taken: Floats) -> Floats:
        values = np.array([ranker(outcome.numbers) for outcome in outcomes])
        shares = np.zeros_like(taken)
        above = np.zeros(taken.shape[0])
        for value in np.unique(values)[::-1]:
            tied = values == value
            size = taken[:, tied].sum(axis=1)
            shares[:, tied] = (np.clip(TOP - above, 0, size) / np.maximum(size, 1))[:, None]
            above += size
        return shares

    return choose


def by_lot(seed: int) -> Choice:
    """Choose 20 by drawing lots, anew for each row; every theme is there once."""
    generator = np.random.default_rng(seed)

    def choose(outcomes: list[Outcome], taken: Floats) -> Floats:
        lots = generator.random((len(taken), len(outcomes)))
        return (lots.argsort(axis=1).argsort(axis=1) < TOP).astype(np.float64)

    return choose


def hits_by_size(later: Floats, hits: Floats) -> Floats:
    """The chance of a hit if every later incident had the same chance to be linked.

    1 - (1 - q) ** later, with the q that gives as many hits in all as there were.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        too_many = float(np.sum(1 - (1 - middle) ** later)) > float(hits.sum())
        low, high = (low, middle) if too_many else (middle, high)
    return 1 - (1 - low) ** later
