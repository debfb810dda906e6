"""Does the score find what people later chose to fix? Asked of a real ServiceNow log.

    python tests/truth/truth.py [LOG.zip | LOG.csv] [--json]

LOG (or GROUNDSWELL_SERVICENOW_LOG) is the UCI "incident management process enriched event log":
one row per version of an incident. At five cut times every theme, here a (category, subcategory),
is ranked from what was known then; a hit is a theme to which a later incident brought a problem
or change record. `servicenow_log` says how leaks are kept out, `ranking` what is measured.

Exit status: 0 the bar is met, 1 it is missed, 2 there is no log to ask.
"""

import argparse
import json
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from ranking import TOP, Floats, Ranker, by_lot, measure, top_of
from servicenow_log import (
    Incident,
    Outcome,
    cut_times,
    incidents_of,
    outcomes_at,
    read_rows,
)

from services.roadmap.scores.numbers import EvidenceNumbers
from services.roadmap.scores.policy import AttentionWeights, ScorePolicy
from services.roadmap.scores.score import score

LOG_SETTING = "GROUNDSWELL_SERVICENOW_LOG"
RESAMPLES = 2000
SEED = 20160229
# The one bar: attention against the base rate, its lower bound, counting, and mere size.
LEAST_LIFT, LEAST_LOWER_BOUND, LEAST_AGAINST_SIZE = 2.0, 1.0, 1.0


def rank_by(policy: ScorePolicy) -> Ranker:
    """The service's own score, of a theme that nobody has estimated or confirmed."""

    def value(numbers: EvidenceNumbers) -> float:
        return score(numbers, policy, None, None, confirmed=False).value

    return value


def only(term: str) -> Ranker:
    """Attention with every weight at 0 but this one."""
    weights = AttentionWeights(
        **{name: float(name == term) for name in AttentionWeights.model_fields}
    )
    return rank_by(ScorePolicy(method="attention", attention=weights))


def by_count(numbers: EvidenceNumbers) -> float:
    """Incidents in 28 days: what a counter would rank by."""
    return float(numbers.opened_28d)


RANKERS: dict[str, Ranker] = {
    "attention": rank_by(ScorePolicy()),
    "count": by_count,
    "only top severity": only("top_severity"),
    "only excess": only("excess"),
    "only links": only("links"),
}


TWO_RANKERS = {name: RANKERS[name] for name in ("attention", "count")}


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def figure(point: Floats, spread: Floats) -> Figure | None:
    """`point` with the middle 95 % of `spread`; None where the log cannot say."""
    if np.isnan(point).any() or np.isnan(spread).all():
        return None
    low, high = np.nanpercentile(spread, [2.5, 97.5])
    return Figure(float(point.mean()), float(low), float(high))


@dataclass(frozen=True)
class Line:
    """What one way to rank comes to; `lead` is its lift less that of counting."""

    name: str
    lift: Figure | None
    against_size: Figure | None
    per_incident: Figure | None
    lead: Figure | None


@dataclass(frozen=True)
class Report:
    """Everything that is printed."""

    incidents: int
    cuts: list[str]
    themes_per_cut: float
    base_rate: float
    lines: list[Line]
    never_linked: list[Line]
    missed: list[str]


def report_on(incidents: Sequence[Incident]) -> Report:
    """Rank, compare, and hold attention against the bar."""
    times = cut_times(incidents)
    cuts = [outcomes_at(cut, incidents) for cut in times]
    unlinked = [[theme for theme in themes if not theme.numbers.linked] for themes in cuts]
    unlinked = [themes for themes in unlinked if themes]
    hits = [[theme.later_linked > 0 for theme in themes] for themes in cuts]
    if not all(map(any, hits)):
        raise ValueError("after a cut no incident of this log has a problem or change to find")
    lines = lines_of(cuts, RANKERS)
    return Report(
        incidents=len(incidents),
        cuts=[f"{cut:%Y-%m-%d %H:%M}" for cut in times],
        themes_per_cut=mean(map(len, cuts)),
        base_rate=mean(map(mean, hits)),
        lines=[*lines, chance(cuts)],
        never_linked=lines_of(unlinked, TWO_RANKERS) if unlinked else [],
        missed=missed_bars(lines),
    )


def lines_of(cuts: Sequence[list[Outcome]], rankers: dict[str, Ranker]) -> list[Line]:
    """Each ranker's figures. Intervals resample whole themes, the same ones for every ranker."""
    themes = sorted({outcome.theme for outcomes in cuts for outcome in outcomes})
    share = np.full(len(themes), 1 / len(themes))
    draws = np.random.default_rng(SEED).multinomial(len(themes), share, size=RESAMPLES)
    resampled = {theme: draws[:, at].astype(np.float64) for at, theme in enumerate(themes)}
    once = {theme: np.ones(1) for theme in themes}
    points = {name: measure(cuts, top_of(ranker), once) for name, ranker in rankers.items()}
    spreads = {name: measure(cuts, top_of(ranker), resampled) for name, ranker in rankers.items()}
    count = points["count"].lift(), spreads["count"].lift()
    return [
        Line(
            name,
            lift=figure(point.lift(), spreads[name].lift()),
            against_size=figure(point.against_size(), spreads[name].against_size()),
            per_incident=figure(point.per_incident(), spreads[name].per_incident()),
            lead=None
            if name == "count"
            else figure(point.lift() - count[0], spreads[name].lift() - count[1]),
        )
        for name, point in points.items()
    ]


def chance(cuts: Sequence[list[Outcome]]) -> Line:
    """What drawing lots comes to, and how far luck alone carries it."""
    themes = {outcome.theme for outcomes in cuts for outcome in outcomes}
    sums = measure(cuts, by_lot(SEED), {theme: np.ones(RESAMPLES) for theme in themes})
    lift, size, per_incident = sums.lift(), sums.against_size(), sums.per_incident()
    return Line(
        "chance", figure(lift, lift), figure(size, size), figure(per_incident, per_incident), None
    )


def missed_bars(lines: Sequence[Line]) -> list[str]:
    """The bars that attention misses, in words; none if it meets them all."""
    by_name = {line.name: line for line in lines}
    lift, count = by_name["attention"].lift, by_name["count"].lift
    against_size = by_name["attention"].against_size
    if lift is None or count is None or against_size is None:
        return ["this log is too small to tell"]
    bars = {
        f"at least {LEAST_LIFT:g} x base rate": lift.value >= LEAST_LIFT,
        f"lower bound above {LEAST_LOWER_BOUND:g}": lift.low > LEAST_LOWER_BOUND,
        "above count": lift.value > count.value,
        f"at least {LEAST_AGAINST_SIZE:g} against size": against_size.value >= LEAST_AGAINST_SIZE,
    }
    return [bar for bar, met in bars.items() if not met]


def as_table(report: Report) -> str:
    """The report for a person."""
    heads = ("precision / base", "/ size", "per incident", "lead over count")
    widths = (22, 20, 20, 22)
    header = f"{'ranked by':<19}" + "".join(
        f"{head:<{width}}" for head, width in zip(heads, widths, strict=True)
    )

    def shown(line: Line) -> str:
        figures = (line.lift, line.against_size, line.per_incident, line.lead)
        cells = (
            "-" if each is None else f"{each.value:.2f} ({each.low:.2f} to {each.high:.2f})"
            for each in figures
        )
        row = "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        return f"{line.name:<19}{row}".rstrip()

    verdict = f"missed: {'; '.join(report.missed)}" if report.missed else "met"
    return "\n".join(
        [
            f"{report.incidents:,} incidents; cuts {', '.join(report.cuts)} UTC",
            f"{report.themes_per_cut:.0f} themes at a cut, base rate {report.base_rate:.3f}; "
            f"precision at {TOP}",
            f"in brackets 95 %: of {RESAMPLES:,} resamples of the themes, or of as many draws by lot",
            "",
            header.rstrip(),
            *map(shown, report.lines),
            "",
            "themes never linked before the cut",
            *map(shown, report.never_linked),
            "",
            "/ size: hits over those that the number of later incidents alone would bring;",
            "per incident: share of later incidents linked, over that share in all themes.",
            f"The bar (>= {LEAST_LIFT:g} x base, lower bound > {LEAST_LOWER_BOUND:g}, above count, "
            f">= {LEAST_AGAINST_SIZE:g} against size) is {verdict}.",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Read, rank, print; the exit status is in the module's docstring."""
    parser = argparse.ArgumentParser(description="Does the score find what people chose to fix?")
    parser.add_argument("log", nargs="?", default=os.environ.get(LOG_SETTING), metavar="LOG")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    if not chosen.log:
        print(f"No log: name the UCI event log as LOG or in {LOG_SETTING}.", file=sys.stderr)
        return 2
    try:
        report = report_on(incidents_of(read_rows(Path(chosen.log))))
    except (OSError, ValueError, zipfile.BadZipFile) as problem:
        print(f"Cannot rank from {chosen.log}: {problem}.", file=sys.stderr)
        return 2
    print(json.dumps(asdict(report), indent=2) if chosen.json else as_table(report))
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
