"""The power check, held against a simulation and against its own limits."""

import numpy as np
import pytest
from scipy.stats import binomtest

from services.roadmap.items.power import SIGNIFICANCE, chance, dispersion, power


@pytest.mark.parametrize(
    ("count", "days", "reduction", "weeks"), [(12, 28, 0.5, 4), (40, 28, 0.5, 8), (20, 56, 0.8, 4)]
)
def test_the_chance_is_what_a_simulation_finds(
    count: int, days: int, reduction: float, weeks: int
) -> None:
    rng = np.random.default_rng(7)
    runs = 4000
    before = rng.poisson(count, runs)
    after = rng.poisson(count / days * 7 * weeks * (1 - reduction), runs)
    share = 7 * weeks / (7 * weeks + days)
    found = sum(
        b + a > 0
        and binomtest(int(a), int(a + b), share, alternative="less").pvalue <= SIGNIFICANCE
        for a, b in zip(after, before, strict=True)
    )
    assert chance(count, days, reduction, weeks) == pytest.approx(found / runs, abs=0.03)


def test_few_incidents_say_that_waiting_does_not_help() -> None:
    few = power(12, 28, 0.5, 1.0)
    assert few.weeks is None
    assert few.text.startswith("at 12 incidents in 28 days, a halving does not show")


def test_more_incidents_or_a_larger_reduction_show_sooner() -> None:
    weeks = [power(count, 28, 0.5, 1.0).weeks for count in (60, 120, 480)]
    assert weeks == sorted(weeks, key=lambda w: -(w or 99))
    larger, smaller = power(60, 28, 0.9, 1.0).weeks, power(60, 28, 0.5, 1.0).weeks
    assert larger is not None
    assert smaller is not None
    assert larger < smaller


def test_incidents_in_bursts_count_for_less() -> None:
    assert power(60, 28, 0.5, 5.0).weeks is None
    assert power(60, 28, 0.5, 0.1) == power(60, 28, 0.5, 1.0)


@pytest.mark.parametrize("count", [0, 1, 10**12])
@pytest.mark.parametrize("reduction", [1e-9, 0.5, 1.0])
def test_every_count_and_reduction_has_an_answer(count: int, reduction: float) -> None:
    answer = power(count, 28, reduction, 1.0)
    assert answer.weeks is None or 1 <= answer.weeks <= 26


def test_dispersion_is_variance_over_mean_and_at_least_one() -> None:
    assert dispersion([3, 3, 3, 3]) == 1.0
    assert dispersion([0, 0]) == dispersion([0, 0, 0, 0]) == 1.0
    assert dispersion([0, 10, 0, 10]) == pytest.approx(20 / 3)
