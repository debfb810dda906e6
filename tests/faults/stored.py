"""Reads all that is stored, in every service's database and on the bus, for the checker to judge.

Both engines: the services' own tables through `Database.read()`, the bus through whatever can list
its log. Only reads. Taken while things move, it is read in an order that keeps the laws of
`promises/conservation.py` checkable: committed offsets first, then the databases, then the log.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Row, Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback import consumers as feedback_consumers
from services.feedback.detection.store import escalations
from services.feedback.evidence.store import evidence
from services.feedback.feedback.store import feedback
from services.feedback.items.store import candidates as heard_candidates
from services.feedback.items.store import items as heard_items
from services.feedback.outcomes.store import outcomes
from services.feedback.themes.store import themes
from services.incidents.catalog.store import services as catalog
from services.incidents.correlations import consumers as correlations_consumers
from services.incidents.incidents import consumers as incidents_consumers
from services.incidents.incidents.episodes import episodes
from services.incidents.incidents.store import incidents, timeline
from services.incidents.incidents.themes import incident_themes
from services.incidents.incidents.themes import items as shown_items
from services.incidents.signals.store import signals
from services.roadmap import consumers as roadmap_consumers
from services.roadmap.candidates.store import candidate_log, candidates
from services.roadmap.items.store import item_log, item_themes, items
from services.roadmap.objectives.store import objectives
from services.roadmap.themes.store import themes as heard_themes
from shared.bus.bus import Delivered, Partition
from shared.clock import utc_now
from shared.consumer import Subscription
from shared.database import Database
from shared.dead_letters import dead_letters
from shared.envelope import Record
from shared.inbox import inbox
from shared.outbox import outbox

Rows = Sequence[Row[Any]]

SERVICES = ("incidents", "feedback", "roadmap")

SUBSCRIPTIONS: Mapping[str, tuple[Subscription, ...]] = {
    "incidents": (incidents_consumers.SUBSCRIPTION, correlations_consumers.subscription()),
    "feedback": feedback_consumers.subscriptions(utc_now),
    "roadmap": (roadmap_consumers.SUBSCRIPTION,),
}

TABLES: Mapping[str, Mapping[str, Table]] = {
    "incidents": {
        "catalog": catalog,
        "signals": signals,
        "incidents": incidents,
        "timeline": timeline,
        "episodes": episodes,
        "incident_themes": incident_themes,
        "shown_items": shown_items,
    },
    "feedback": {
        "feedback": feedback,
        "evidence": evidence,
        "themes": themes,
        "escalations": escalations,
        "outcomes": outcomes,
        "heard_candidates": heard_candidates,
        "heard_items": heard_items,
    },
    "roadmap": {
        "heard_themes": heard_themes,
        "candidates": candidates,
        "candidate_log": candidate_log,
        "items": items,
        "item_themes": item_themes,
        "item_log": item_log,
        "objectives": objectives,
    },
}
"""What the checker looks at, under names that no two services share."""

Committed = Mapping[tuple[str, Partition], int]
"""(group, partition) → the offset that the group goes on from; absent where it committed nothing."""


class BusReader(Protocol):
    """Looks at a bus from outside: what is on it, and how far each group has come."""

    async def log(self) -> list[Delivered]:
        """Every record there is, each partition's in order."""
        ...

    async def committed(self) -> Committed: ...


@dataclass(frozen=True)
class Plumbing:
    """What one service's outbox, inbox and dead letters hold."""

    outbox: Rows
    inbox: Mapping[str, Counter[str]]
    """Consumer group → how often it has claimed each event."""
    dead: Rows


@dataclass(frozen=True)
class Stored:
    """Everything, as rows. `tables` goes by the names in TABLES."""

    tables: Mapping[str, Rows]
    plumbing: Mapping[str, Plumbing]
    log: Sequence[Delivered] = ()
    committed: Committed = field(default_factory=dict[tuple[str, Partition], int])

    def __getitem__(self, table: str) -> Rows:
        return self.tables[table]

    def by(self, table: str, column: str) -> dict[Any, list[Row[Any]]]:
        """The rows of a table by the value of one column."""
        found: defaultdict[Any, list[Row[Any]]] = defaultdict(list)
        for row in self.tables[table]:
            found[getattr(row, column)].append(row)
        return dict(found)

    def records(self) -> Iterator[Record]:
        """Every event there is: what is on the bus, then what still waits in an outbox."""
        for one in self.log:
            yield one.record
        for plumbing in self.plumbing.values():
            for row in plumbing.outbox:
                yield Record(row.topic, row.key, row.headers, row.value)

    @classmethod
    async def load(cls, dbs: Mapping[str, Database], bus: BusReader | None = None) -> "Stored":
        """Read the databases of the three services, and the bus if there is one to read."""
        committed = await bus.committed() if bus else {}
        tables: dict[str, Rows] = {}
        plumbing: dict[str, Plumbing] = {}
        for service in SERVICES:
            async with dbs[service].read() as conn:
                for name, table in TABLES[service].items():
                    tables[name] = await _rows(conn, select(table))
                plumbing[service] = await _plumbing(conn)
        return cls(tables, plumbing, await bus.log() if bus else (), committed)


async def _rows(conn: AsyncConnection, query: Select[*tuple[Any, ...]]) -> Rows:
    return (await conn.execute(query)).all()


async def _plumbing(conn: AsyncConnection) -> Plumbing:
    claimed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in await _rows(conn, select(inbox.c.consumer, inbox.c.event_id)):
        claimed[row.consumer][row.event_id] += 1
    return Plumbing(
        outbox=await _rows(conn, select(outbox).order_by(outbox.c.seq)),
        inbox=dict(claimed),
        dead=await _rows(conn, select(dead_letters).order_by(dead_letters.c.id)),
    )
