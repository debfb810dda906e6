"""What clients saw: an append-only log of every request, and what became of each signal in it.

The log is the truth that the checker holds the stored state against, so it claims nothing that its
client did not see: an answer that never came is `info`, which may mean either. One file per client,
one line per entry, one write per line: several processes may log at once, and a client that is
killed leaves at most a torn last line.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

Op = Literal["fire", "resolve", "read", "scrape"]
Type = Literal["invoke", "ok", "fail", "info"]

STATUS_OF: Mapping[str, str] = {"fire": "firing", "resolve": "resolved"}
"""The operations that send a signal, and the status that each one's signal is stored with."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `t` is CLOCK_MONOTONIC: comparable between the processes of one machine.

    `ok`: answered 2xx. `fail`: definitely refused by the server. `info`: nobody knows.
    """

    id: str
    op: Op
    type: Type
    t: float
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


class History:
    """Writes one client's entries: to `path`, or without one to `entries`."""

    def __init__(
        self, path: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.entries: list[Entry] = []
        self.clock = clock
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if path else None

    def write(self, id: str, op: Op, type: Type, **detail: Any) -> Entry:
        """Log one entry now. An `invoke` goes in before the request goes out."""
        entry = Entry(id, op, type, self.clock(), detail)
        if self._file is None:
            self.entries.append(entry)
        else:
            said = {"id": id, "op": op, "type": type, "t": entry.t, "detail": detail}
            os.write(self._file, json.dumps(said, separators=(",", ":")).encode() + b"\n")
        return entry

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: Path) -> list[Entry]:
    """The entries of all clients (`*.jsonl`) in the order of their times; torn last lines are left."""
    found = [
        Entry(**json.loads(line))
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    return sorted(found, key=lambda entry: entry.t)


class Sent(NamedTuple):
    """Which signal: its fingerprint, which no other alert has, and the status it was sent with."""

    id: str
    status: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one signal over all attempts to send it."""

    sent: Sent
    ok: int
    """Attempts that were acknowledged."""
    failed: int
    """Attempts that were definitely refused."""
    unknown: int
    """Attempts that nobody knows the end of: an `info`, or no end in the log at all."""
    answered: frozenset[str]
    """The ids under which the answers said that it is stored."""
    pain: str | None
    """The theme that its sender had in mind, if it says: one pain, one theme."""

    @property
    def acknowledged(self) -> bool:
        return self.ok > 0

    @property
    def refused(self) -> bool:
        """Every attempt was definitely refused, so nothing of it may be stored."""
        return not self.ok and not self.unknown


def fates(entries: Iterable[Entry]) -> dict[Sent, Fate]:
    """What became of every signal that some client tried to send."""
    of: defaultdict[Sent, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.op in STATUS_OF:
            of[Sent(entry.id, STATUS_OF[entry.op])].append(entry)
    return {sent: _fate(sent, some) for sent, some in of.items()}


def _fate(sent: Sent, entries: Sequence[Entry]) -> Fate:
    count = {type: sum(e.type == type for e in entries) for type in ("invoke", "ok", "fail")}
    answered = (e.detail.get("stored_id") for e in entries if e.type == "ok")
    pains = (e.detail.get("pain") for e in entries)
    return Fate(
        sent=sent,
        ok=count["ok"],
        failed=count["fail"],
        unknown=max(0, count["invoke"] - count["ok"] - count["fail"]),
        answered=frozenset(one for one in answered if one),
        pain=next((one for one in pains if one), None),
    )
