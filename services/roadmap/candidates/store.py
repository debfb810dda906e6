"""The tables `candidates`, `candidate_log` and `candidate_scores`. Load and save a candidate."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    Table,
    Text,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates.domain import WAITING, Candidate
from services.roadmap.candidates.refusals import CandidateUnknown
from services.roadmap.candidates.standing import Standing
from services.roadmap.metadata import metadata
from services.roadmap.scores.score import Score
from shared.contracts.feedback import EvidenceNumbersData, ReasonData
from shared.contracts.roadmap import CandidateEvent
from shared.database import Json, UtcDateTime
from shared.keys import one_of
from shared.prepared import Prepared
from shared.refusals import Conflict

candidates = Table(
    "candidates",
    metadata,
    Column("candidate_id", Text, primary_key=True),
    Column("theme_id", Text),
    Column("title", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("scored", Json, nullable=False),
    Column("needs_estimate", Boolean, nullable=False),
    Column("reasons", Json, nullable=False),
    Column("evidence", Json),
    Column("effort_person_months", Float),
    Column("duration_weeks", Float),
    Column("confirmed", Boolean, nullable=False),
    Column("quiet_since", UtcDateTime),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("previous_id", Text),
    Column("item_id", Text, index=True),
    Column("into_candidate_id", Text, index=True),
    Column("until", UtcDateTime),
    Column("until_total", Integer),
    Column("decided_at", UtcDateTime),
    Column("decided_by", Text),
    Column("decision", Text),
    Column("correlation_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
Index(
    "candidates_by_score", *[candidates.c[n] for n in ("state", "block", "score", "candidate_id")]
)
Index("candidates_by_rank", *[candidates.c[n] for n in ("block", "score", "candidate_id")])
Index(
    "candidates_of_product",
    *[candidates.c[n] for n in ("product", "state", "block", "score", "candidate_id")],
)
Index("candidates_by_raising", candidates.c.raised_at, candidates.c.candidate_id)
Index("candidates_by_age", candidates.c.state, candidates.c.raised_at, candidates.c.candidate_id)
Index("candidates_by_theme", candidates.c.theme_id, candidates.c.decided_at)
Index("candidates_to_wake", candidates.c.state, candidates.c.until)
Index(
    "candidates_one_waiting",
    candidates.c.theme_id,
    unique=True,
    sqlite_where=candidates.c.state.in_(WAITING),
    postgresql_where=candidates.c.state.in_(WAITING),
)

candidate_log = Table(
    "candidate_log",
    metadata,
    Column("candidate_id", Text, ForeignKey("candidates.candidate_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", Json, nullable=False),
)
"""Every event of a candidate, whole: it folds to the candidate."""

candidate_scores = Table(
    "candidate_scores",
    metadata,
    Column("candidate_id", Text, ForeignKey("candidates.candidate_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("value", Float, nullable=False),
    Column("method", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("parts", Json, nullable=False),
    Column("cause", Text, nullable=False),
    Column("rank", Integer),
)

_score = TypeAdapter(Score)

Stored = tuple[Candidate, Standing]

Place = tuple[int, float, str]

_WAITS = candidates.c.state.in_([literal_column(f"'{state}'") for state in WAITING])
"""In words of its own: a list of values can't be prepared."""
_OF_THEME = candidates.c.theme_id == bindparam("theme")
_KEY = bindparam("key", type_=Text())


@dataclass(frozen=True, slots=True)
class Entry:
    """One event to write down: who did it, and for an event with a score, the rank it came to."""

    event: CandidateEvent
    version: int
    actor: str
    recorded_at: datetime
    cause: str | None = None
    rank: int | None = None


_LOAD = Prepared(select(candidates).where(candidates.c.candidate_id == _KEY))


async def load(conn: AsyncConnection, candidate_id: str) -> Stored:
    """Raises CandidateUnknown."""
    rows = await _LOAD.rows(conn, {"key": candidate_id})
    if not rows:
        raise CandidateUnknown(
            f"There is no candidate {candidate_id!r}; list them with GET /v1/candidates."
        )
    return stored_of(rows[0])


_WAITING_FOR = Prepared(select(candidates).where(_OF_THEME, _WAITS))


async def waiting_for(conn: AsyncConnection, theme_id: str) -> Stored | None:
    """The theme's candidate that waits for a decision; there is at most one."""
    rows = await _WAITING_FOR.rows(conn, {"theme": theme_id})
    return stored_of(rows[0]) if rows else None


_DECIDED_LAST = Prepared(
    select(candidates)
    .where(_OF_THEME, candidates.c.decided_at.is_not(None))
    .order_by(candidates.c.decided_at.desc(), candidates.c.candidate_id.desc())
    .limit(1)
)


async def decided_last(conn: AsyncConnection, theme_id: str) -> Stored | None:
    """The theme's candidate that was decided about most recently, by event time."""
    rows = await _DECIDED_LAST.rows(conn, {"theme": theme_id})
    return stored_of(rows[0]) if rows else None


_DEALT_WITH = Prepared(
    select(candidates.c.theme_id).where(
        one_of(candidates.c.theme_id), or_(_WAITS, candidates.c.decided_at.is_not(None))
    )
)


async def dealt_with(conn: AsyncConnection, theme_ids: Sequence[str]) -> set[str]:
    """Those of these themes that have a candidate which waits for a decision, or had one."""
    return {row.theme_id for row in await _DEALT_WITH.of(conn, theme_ids)}


_RANK = (candidates.c.block, candidates.c.score, candidates.c.candidate_id)
_PLACES = Prepared(select(*_RANK).where(candidates.c.state == "open"))


async def places(conn: AsyncConnection) -> list[Place]:
    """The places of all open candidates, the last one first: block, score and id, as they rank."""
    return sorted((row.block, row.score, row.candidate_id) for row in await _PLACES.rows(conn, {}))


async def due(conn: AsyncConnection, now: datetime, limit: int) -> list[Stored]:
    """Snoozed candidates whose time has come, the longest due first."""
    query = (
        select(candidates)
        .where(candidates.c.state == "snoozed", candidates.c.until <= now)
        .order_by(candidates.c.until, candidates.c.candidate_id)
        .limit(limit)
    )
    return [stored_of(row) for row in await conn.execute(query)]


async def all_waiting(conn: AsyncConnection, limit: int) -> list[Stored]:
    """Those that wait for a decision."""
    query = select(candidates).where(candidates.c.state.in_(WAITING))
    query = query.order_by(candidates.c.candidate_id).limit(limit)
    return [stored_of(row) for row in await conn.execute(query)]


async def merged_into(conn: AsyncConnection, candidate_id: str) -> list[Candidate]:
    """Those merged into this one, and those merged into them, and so on."""
    found: dict[str, Candidate] = {}
    frontier = [candidate_id]
    while frontier:
        query = select(candidates).where(candidates.c.into_candidate_id.in_(frontier[:500]))
        fresh = [stored_of(row)[0] for row in await conn.execute(query)]
        fresh = [one for one in fresh if one.candidate_id not in found]
        found |= {one.candidate_id: one for one in fresh}
        frontier = frontier[500:] + [one.candidate_id for one in fresh]
    return list(found.values())


_PLACE = (bindparam("of_block", type_=Integer()), bindparam("of_score", type_=Float()), _KEY)
_AHEAD = Prepared(
    select(func.count().label("number")).where(
        candidates.c.state == "open",
        tuple_(*_RANK) > tuple_(*_PLACE),
        candidates.c.candidate_id != _KEY,
    )
)


async def rank_of(conn: AsyncConnection, block: int, score: float, candidate_id: str) -> int:
    """Which place a score takes among the open candidates, 1 being the first."""
    values = {"of_block": block, "of_score": score, "key": candidate_id}
    return 1 + (await _AHEAD.rows(conn, values))[0].number


_ADD = Prepared(insert(candidates))


async def add(conn: AsyncConnection, new: Sequence[tuple[Candidate, Standing, int]]) -> None:
    """Enter new candidates, each with its block. Raises Conflict when a theme has one already."""
    try:
        await _ADD.many(conn, [_values(*one) for one in new])
    except IntegrityError as clash:
        which = new[0][0].theme_id if len(new) == 1 else "that rose just now"
        raise Conflict(
            f"Theme {which} has just got another candidate; read it and decide."
        ) from clash


async def save(
    conn: AsyncConnection, candidate: Candidate, standing: Standing, block: int, *, was: int | None
) -> None:
    """Write the candidate. `was` is the version it was loaded with, None for a new one.

    Raises Conflict when somebody else changed it meanwhile, or raised one for the same theme.
    """
    if was is None:
        await add(conn, [(candidate, standing, block)])
        return
    values = _values(candidate, standing, block)
    key = values.pop("candidate_id")
    if not await _SAVE.rows(conn, {**values, "key": key, "was": was}):
        raise Conflict(
            f"Candidate {candidate.candidate_id} was changed meanwhile; read it again and retry."
        )


_SAVE = Prepared(
    update(candidates)
    .where(candidates.c.candidate_id == _KEY, candidates.c.version == bindparam("was"))
    .values({c.name: bindparam(c.name) for c in candidates.c if c.name != "candidate_id"})
    .returning(candidates.c.candidate_id)
)


def score_values(candidate: Candidate, standing: Standing, block: int) -> dict[str, Any]:
    """What `save_scores` writes of one candidate."""
    return {
        "of": candidate.candidate_id,
        "version": candidate.version,
        "block": block,
        "score": candidate.score,
        "scored": _score.dump_python(standing.scored, mode="json"),
        "needs_estimate": standing.scored.needs_estimate,
    }


async def save_scores(conn: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Write the scores of many candidates, which the caller's transaction has loaded and holds."""
    await _SAVE_SCORES.many(conn, rows)


_SAVE_SCORES = Prepared(
    update(candidates)
    .where(candidates.c.candidate_id == bindparam("of"))
    .values({n: bindparam(n) for n in ("version", "block", "score", "scored", "needs_estimate")})
)
_LOG = Prepared(insert(candidate_log))
_HISTORY = Prepared(insert(candidate_scores))


async def write_down(conn: AsyncConnection, entries: Sequence[tuple[Entry, Standing]]) -> None:
    """Add to the logs; an entry with a cause also to the history of scores."""
    await _LOG.many(conn, [_logged(entry) for entry, _ in entries])
    history = [_history(entry, standing.scored) for entry, standing in entries if entry.cause]
    await _HISTORY.many(conn, history)


def stored_of(row: Row[Any]) -> Stored:
    candidate = Candidate(
        candidate_id=row.candidate_id,
        theme_id=row.theme_id,
        title=row.title,
        product=row.product,
        state=row.state,
        score=row.score,
        raised_at=row.raised_at,
        version=row.version,
        previous_id=row.previous_id,
        item_id=row.item_id,
        into_candidate_id=row.into_candidate_id,
        until=row.until,
        until_total=row.until_total,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        decision=row.decision,
    )
    standing = Standing(
        service=row.service,
        reasons=tuple(ReasonData.model_validate(reason) for reason in row.reasons),
        evidence=EvidenceNumbersData.model_validate(row.evidence) if row.evidence else None,
        correlation_id=row.correlation_id,
        scored=_score.validate_python(row.scored),
        effort_person_months=row.effort_person_months,
        duration_weeks=row.duration_weeks,
        confirmed=row.confirmed,
        quiet_since=row.quiet_since,
    )
    return candidate, standing


def _values(candidate: Candidate, standing: Standing, block: int) -> dict[str, Any]:
    evidence = standing.evidence
    return {
        **asdict(candidate),
        "service": standing.service,
        "block": block,
        "scored": _score.dump_python(standing.scored, mode="json"),
        "needs_estimate": standing.scored.needs_estimate,
        "reasons": [reason.model_dump(mode="json") for reason in standing.reasons],
        "evidence": evidence.model_dump(mode="json") if evidence else None,
        "effort_person_months": standing.effort_person_months,
        "duration_weeks": standing.duration_weeks,
        "confirmed": standing.confirmed,
        "quiet_since": standing.quiet_since,
        "correlation_id": standing.correlation_id,
    }


def _logged(entry: Entry) -> dict[str, Any]:
    return {
        "candidate_id": entry.event.candidate_id,
        "version": entry.version,
        "kind": entry.event.TYPE.split(".")[2],
        "at": entry.event.at,
        "recorded_at": entry.recorded_at,
        "actor": entry.actor,
        "data": entry.event.model_dump(mode="json"),
    }


def _history(entry: Entry, scored: Score) -> dict[str, Any]:
    return {
        "candidate_id": entry.event.candidate_id,
        "version": entry.version,
        "at": entry.event.at,
        "value": scored.value,
        "method": scored.method,
        "unit": scored.unit,
        "parts": [asdict(part) for part in scored.parts],
        "cause": entry.cause,
        "rank": entry.rank,
    }
