"""Remembers how far a replay came, in a small file, so that an interrupted one goes on from there.

Only a shortcut: what is sent twice changes nothing. The file is gone once everything was taken.
"""

import hashlib
from pathlib import Path

import msgspec

from services.replay.mapping import ColumnMapping

CUT = b"whole incidents"
"""How logs are cut into batches. What was noted of another way of cutting says nothing of this one."""


class Progress(msgspec.Struct, frozen=True):
    """`replay` tells which one: its file, mapping and server. `taken`: so many batches from the first
    on were acknowledged."""

    replay: str
    taken: int = 0


def identity(digest: str, mapping: ColumnMapping, asked: str) -> str:
    """What must be the same for a replay to be gone on with. `asked`: of which server, for what."""
    words = b"\n".join((CUT, digest.encode(), asked.encode(), msgspec.json.encode(mapping)))
    return hashlib.sha256(words).hexdigest()


class Bookmark:
    """Notes acknowledged batches, in any order; the file holds how many came without a gap."""

    def __init__(self, path: Path | None, replay: str) -> None:
        self.path = path
        self.replay = replay
        self.taken = 0
        self._ahead: set[int] = set()

    def found(self) -> int:
        """How many batches an earlier run of the same replay had acknowledged."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            noted = msgspec.json.decode(self.path.read_bytes(), type=Progress)
        except msgspec.DecodeError:
            return 0  # another program's file, or half a disk: then everything is sent again
        return noted.taken if noted.replay == self.replay else 0

    def begin(self, taken: int) -> None:
        self.taken = taken

    def acknowledged(self, number: int) -> None:
        """Batch `number` was taken in."""
        self._ahead.add(number)
        before = self.taken
        while self.taken in self._ahead:
            self._ahead.remove(self.taken)
            self.taken += 1
        if self.path is not None and self.taken != before:
            draft = self.path.with_name(self.path.name + ".draft")
            draft.write_bytes(msgspec.json.encode(Progress(self.replay, self.taken)))
            draft.replace(self.path)

    def done(self) -> None:
        """Everything was taken: the next replay begins at the beginning."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
