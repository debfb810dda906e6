"""The tables `policies`, `policy_history`, `policy_changes` and `escalations`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Integer, Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection.demand import DETECTOR as DEMAND
from services.feedback.detection.demand import DemandPolicy
from services.feedback.detection.detect import RECURRENCE, Policies
from services.feedback.detection.reason import Reason
from services.feedback.detection.recurrence import RecurrencePolicy, Rise
from services.feedback.detection.settings import settings_of
from services.feedback.metadata import metadata
from shared.clock import EARLIEST
from shared.database import Json, Serial, UtcDateTime, insert_into
from shared.keys import one_of
from shared.prepared import Prepared

EVERY_PRODUCT = ""
"""The product of the policy that holds for every product without one of its own."""

policies = Table(
    "policies",
    metadata,
    Column("detector", Text, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("settings", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

policy_history = Table(
    "policy_history",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("detector", Text, nullable=False, index=True),
    Column("product", Text, nullable=False),
    Column("settings", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

policy_changes = Table(
    "policy_changes",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("product", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Products whose themes have yet to be assessed again because a policy changed."""

escalations = Table(
    "escalations",
    metadata,
    Column("theme_id", Text, primary_key=True),
    Column("detector", Text, primary_key=True),
    Column("rose_at", UtcDateTime, primary_key=True),
    Column("fell_at", UtcDateTime),
    Column("reasons", Json, nullable=False),
    Column("fell_because", Text),
)
"""When which detector rose and fell: what the ledger says today, not what was said at the time."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as it was set. `product` is EVERY_PRODUCT, or the one product that it holds for."""

    detector: str
    product: str
    settings: Mapping[str, object]
    version: int
    by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Escalation:
    """A detector's rise of a theme and, if it is over, its fall; reasons as plain values."""

    theme_id: str
    detector: str
    rose_at: datetime
    fell_at: datetime | None
    reasons: list[dict[str, object]]
    fell_because: str | None


async def load(conn: AsyncConnection, detector: str, product: str) -> StoredPolicy | None:
    """The policy set for exactly this product; None when nobody set one."""
    query = select(policies).where(policies.c.detector == detector, policies.c.product == product)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else StoredPolicy(**row._mapping)  # pyright: ignore[reportPrivateUsage]


async def current(conn: AsyncConnection, detector: str, product: str | None) -> StoredPolicy:
    """What is set for exactly this product. Nothing yet: the defaults, as version 1 of the common
    policy, or as version 0 of a product's own. Raises DetectorUnknown."""
    settings = settings_of(detector, {})
    stored = await load(conn, detector, product or EVERY_PRODUCT)
    if stored is not None:
        return stored
    version = 0 if product else 1
    return StoredPolicy(
        detector=detector,
        product=product or EVERY_PRODUCT,
        settings={**settings, "version": version},
        version=version,
        by="service:feedback",
        changed_at=EARLIEST,
    )


async def save(conn: AsyncConnection, policy: StoredPolicy) -> None:
    """Write a policy and its history, and note that themes have to be assessed again."""
    values = {column.name: getattr(policy, column.name) for column in policies.c}
    upsert = insert_into(conn, policies).values(values)
    await conn.execute(
        upsert.on_conflict_do_update(index_elements=["detector", "product"], set_=values)
    )
    await conn.execute(insert(policy_history).values(values))
    await conn.execute(insert(policy_changes).values(product=policy.product))


async def take_changes(conn: AsyncConnection) -> list[str]:
    """The products whose policies changed since this was asked last, which forgets them."""
    query = delete(policy_changes).returning(policy_changes.c.product)
    return sorted(set((await conn.execute(query)).scalars()))


class PolicyBook:
    """Every policy there is, to look up what holds for a product."""

    def __init__(self, stored: Iterable[StoredPolicy]) -> None:
        self._stored = {(one.detector, one.product): one for one in stored}
        self._read: dict[str, Policies] = {}

    def holds_for(self, product: str) -> Policies:
        """The product's own policies, else the common ones, else the defaults."""
        if product not in self._read:
            self._read[product] = Policies(
                recurrence=RecurrencePolicy.from_json(self._settings(RECURRENCE, product)),
                demand=DemandPolicy.from_json(self._settings(DEMAND, product)),
            )
        return self._read[product]

    def _settings(self, detector: str, product: str) -> Mapping[str, object]:
        own = self._stored.get((detector, product))
        found = own or self._stored.get((detector, EVERY_PRODUCT))
        return found.settings if found else {}


_POLICIES = Prepared(select(policies))
_ESCALATIONS = Prepared(
    select(escalations)
    .where(one_of(escalations.c.theme_id))
    .order_by(escalations.c.rose_at, escalations.c.detector)
)


async def policy_book(conn: AsyncConnection) -> PolicyBook:
    """All policies, in one read."""
    rows = await _POLICIES.rows(conn, {})
    return PolicyBook([StoredPolicy(**row._asdict()) for row in rows])


async def escalations_of(
    conn: AsyncConnection, theme_ids: Iterable[str]
) -> dict[str, list[Escalation]]:
    """The stored rises of these themes, oldest first; themes that never rose are absent."""
    found: dict[str, list[Escalation]] = {}
    for row in await _ESCALATIONS.of(conn, theme_ids):
        found.setdefault(row.theme_id, []).append(Escalation(**row._asdict()))
    return found


def recurrences(stored: Iterable[Escalation]) -> list[Rise]:
    """The rises of recurrence among these, as its rule states them."""
    return [
        Rise(
            rose_at=one.rose_at,
            fell_at=one.fell_at,
            reasons=tuple(Reason(**reason) for reason in one.reasons),  # pyright: ignore[reportArgumentType]
        )
        for one in stored
        if one.detector == RECURRENCE
    ]


async def replace_escalations(
    conn: AsyncConnection, now: Mapping[str, Sequence[Escalation]]
) -> None:
    """Let these be the rises of these themes, instead of those stored before."""
    await _FORGET.many(conn, [{"theme": theme_id} for theme_id in sorted(now)])
    rows = [
        {column.name: getattr(one, column.name) for column in escalations.c}
        for rises in now.values()
        for one in rises
    ]
    await _REMEMBER.many(conn, rows)


_FORGET = Prepared(delete(escalations).where(escalations.c.theme_id == bindparam("theme")))
_REMEMBER = Prepared(insert(escalations))


async def end_escalations(conn: AsyncConnection, theme_id: str, at: datetime) -> None:
    """The theme was merged away then: what held, holds no longer. Its history stays."""
    query = update(escalations).where(
        escalations.c.theme_id == theme_id, escalations.c.fell_at.is_(None)
    )
    await conn.execute(query.values(fell_at=at, fell_because="merged"))
