"""What the demo prints: the story to people on stdout, how far it is on stderr."""

import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.demo.api import Json
from services.terminal import Column, console, field, moment, table

CANDIDATES: tuple[Column, ...] = (
    ("rank", field("rank")),
    ("score", field("score")),
    ("product", field("product")),
    ("title", field("title")),
    ("evidence", field("evidence_total")),
    ("raised", moment("raised_at")),
)
STATIONS: tuple[Column, ...] = (
    ("at", moment("at")),
    ("station", field("station")),
    ("what", field("text")),
)


class Teller:
    """Prints the story, or nothing but its last line where a program listens."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(quiet=True) if as_json else console()
        self.err = Console(stderr=True)

    def say(self, text: str = "") -> None:
        self.out.print(text, markup=False, highlight=False, soft_wrap=True)

    def complain(self, text: str) -> None:
        self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    def chapter(self, title: str) -> None:
        self.say()
        self.out.print(title, style="bold", markup=False, highlight=False)

    @contextmanager
    def sending(self, what: str, total: int) -> Generator[Callable[[int], None]]:
        """A progress bar; call what it yields with each number sent."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err) as progress:
            task = progress.add_task(what, total=total)
            yield lambda count: progress.advance(task, count)

    def candidates(self, rows: list[Json], chosen: Json) -> None:
        """The candidates, and why the chosen one is one."""
        self.chapter("Candidates that rose by themselves, the highest score first")
        self.out.print(table(rows, CANDIDATES))
        self.chapter(f"Why is the first a candidate? ({chosen['id']})")
        for reason in chosen["reasons"]:
            self.say(f"  · {reason['text']}")
        self.say(f"Why does it rank there? {chosen['score_text']}")
        numbers = chosen["evidence"] or {}
        weekly = " ".join(str(count) for count in numbers.get("weekly_counts", []))
        self.say(f"Its evidence: {chosen['evidence_total']} rows; by week: {weekly}")

    def delivered(self, item: Json) -> None:
        self.chapter("Accepted, committed, started and delivered, dated into week eight")
        self.say(f"Item {item['id']}: {item['title']}")
        self.say(f"Success criterion: {item['expected_reduction']:.0%} fewer incidents.")
        if item["power"]:
            self.say(f"Power check at the commitment: {item['power']['text']}.")
        self.say(f"Delivered {item['delivered_at']} with release {item['release']}.")

    def outcome(self, outcome: Json) -> None:
        state = "final" if outcome["final"] else f"watched until {outcome['watch_until'][:10]}"
        self.chapter(f"Did it work? {outcome['verdict'].replace('_', ' ')} ({state})")
        self.say(outcome["text"])
        expected, observed = outcome["expected_reduction"], outcome["numbers"]["observed_reduction"]
        if observed is not None:
            self.say(f"Expected: {expected:.0%} fewer incidents. Observed: {observed:.0%} fewer.")

    def road(self, road: Json, incident_id: str) -> None:
        self.chapter(f"The road of one incident ({incident_id})")
        self.out.print(table(road["stations"], STATIONS))

    def addresses(self, url: str, key_file: str, incident_id: str) -> None:
        self.chapter("It stays up; Ctrl-C ends it. Worth opening:")
        for path in ("/docs", "/v1/candidates", f"/v1/trace/{incident_id}", "/metrics"):
            self.say(f"  {url}{path}")
        self.say(f"A browser asks for a password: the key in {key_file}, with any user name.")
        self.say(f'  curl -H "Authorization: Bearer $(cat {key_file})" {url}/v1/candidates')

    def last_line(self, result: Mapping[str, Any]) -> None:
        """The result as one line of JSON, whoever listens."""
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def weeks_of(anchor: datetime, weeks: int) -> str:
    return f"{weeks} weeks from {anchor:%Y-%m-%d %H:%M} UTC"
