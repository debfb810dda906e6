"""S3: the ledger, the themes' counts and the candidates agree, and no theme asks twice."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from services.roadmap.candidates.domain import WAITING
from tests.faults.stored import Stored
from tests.faults.violation import Violation


def ledger(stored: Stored) -> Iterator[Violation]:
    """Every incident is evidence once, of a live theme, which counts each of its rows once."""
    themes = {row.id: row for row in stored["themes"]}
    sources = Counter((row.kind, row.source_id) for row in stored["evidence"])
    for (kind, source_id), count in sources.items():
        if count > 1:
            yield Violation("S3", source_id, f"is {count} rows of evidence as {kind}")
    held: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in stored["evidence"]:
        if row.theme_id is None:
            continue
        held[row.theme_id].add((row.kind, row.source_id))
        if row.theme_id not in themes:
            yield Violation("S3", row.id, f"is evidence of {row.theme_id}, which doesn't exist")
    for theme_id, theme in themes.items():
        distinct = held.get(theme_id, set())
        if theme.evidence_count != len(distinct):
            what = f"counts {theme.evidence_count} rows of evidence and has {len(distinct)}"
            yield Violation("S3", theme_id, what)
        if theme.state == "merged" and distinct:
            yield Violation("S3", theme_id, f"was merged away and still has {len(distinct)} rows")


def candidates(stored: Stored) -> Iterator[Violation]:
    """At most one candidate of a theme waits; its evidence is the theme's; a rise has raised one."""
    themes = {row.id: row for row in stored["themes"]}
    waiting = [row for row in stored["candidates"] if row.state in WAITING and row.theme_id]
    for theme_id, count in Counter(row.theme_id for row in waiting).items():
        if count > 1:
            yield Violation("S3", theme_id, f"has {count} candidates that wait for a decision")
    for row in waiting:
        theme = themes.get(row.theme_id)
        if theme is None or row.evidence is None or theme.state == "merged":
            continue
        total = row.evidence["total"]
        if theme.announced and total != theme.evidence_count:
            what = f"counts {total} rows of evidence, its theme {theme.evidence_count}"
            yield Violation("S3", row.candidate_id, what)
    dealt_with = {row.theme_id for row in (*stored["candidates"], *stored["item_themes"])}
    for theme in stored["themes"]:
        if theme.told == "escalated" and theme.state != "merged" and theme.id not in dealt_with:
            yield Violation("S3", theme.id, "was told as escalated, and no candidate was raised")
