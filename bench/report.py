"""How a run is shown: Markdown for people, JSON for programs, and the table in docs/performance.md."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, Run, Table, number

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
ASKED = ("asked", "measured", "", "beside", "met")


def markdown(run: Run, command: str, missing: Sequence[str] = ()) -> str:
    """All of the run: what was asked first, then each part's tables; `missing` parts did not come yet."""
    parts = [f"`{command}`, {datetime.now(UTC):%Y-%m-%d}: {machine()}."]
    asked = [figure for figure in run.figures if figure.asked]
    if asked:
        parts.append(table(Table("What is asked", ("figure", *ASKED), [_row(f) for f in asked])))
    for outcome in run.outcomes.values():
        parts += [table(one) for one in outcome.tables]
    if missing:
        parts.append(f"**Cut short**: not measured in this run: {', '.join(missing)}.")
    parts += [f"**{name} failed**: {why.splitlines()[0]}" for name, why in run.failed.items()]
    return "\n\n".join(parts) + "\n"


def _row(figure: Figure) -> Sequence[str]:
    met = "yes" if figure.met else "**no**"
    return figure.name, figure.asked, number(figure.value), figure.unit, figure.against, met


def table(shown: Table) -> str:
    lines = [f"### {shown.title}", ""]
    lines.append(f"| {' | '.join(shown.columns)} |")
    lines.append("|" + "---|" * len(shown.columns))
    lines += [f"| {' | '.join(row)} |" for row in shown.rows]
    if shown.notes:
        lines += ["", *(f"- {note}" for note in shown.notes)]
    return "\n".join(lines)


def machine() -> str:
    """What it ran on, without a name or a path of it."""
    cores = len(os.sched_getaffinity(0))
    version = f"{sys.implementation.name} {platform.python_version()}"
    return f"{cores} cores ({_processor()}), {platform.system()} {platform.machine()}, {version}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def write_json(path: Path, run: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"figures": [figure.to_json() for figure in run.figures]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_document(path: Path, text: str) -> None:
    """Replace what lies between the markers. Raises ValueError when they are missing."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} has no place for the table: give it {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
