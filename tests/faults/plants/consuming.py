"""Bugs between the bus and a consumer's effects."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from services.feedback.evidence import store as evidence
from services.feedback.themes import placement
from shared import consumer, dead_letters
from shared.bus.bus import Consumer, Delivered, Partition
from shared.consumer import Subscription
from shared.database import Database
from shared.inbox import inbox
from tests.faults.plants.plant import Plant, instead
from tests.simulation.world import World


def commit_offsets_first() -> AbstractContextManager[Any]:
    """What auto-commit does: the offsets are committed before anything was done."""
    take = consumer._take  # pyright: ignore[reportPrivateUsage]

    async def eagerly(
        db: Database, of: Consumer, sub: Subscription, batch: Sequence[Delivered], *rest: Any
    ) -> Any:
        await of.commit({one.partition: one.offset + 1 for one in batch})
        return await take(db, of, sub, batch, *rest)

    return instead(consumer, _take=eagerly)


def commit_one_too_far() -> AbstractContextManager[Any]:
    def after(batch: Sequence[Delivered]) -> Mapping[Partition, int]:
        return {one.partition: one.offset + 2 for one in batch}

    return instead(consumer, _after=after)


def claim_in_another_transaction() -> AbstractContextManager[Any]:
    """The claim is committed, then the effects are written: a death in between loses them."""
    apply = consumer._apply  # pyright: ignore[reportPrivateUsage]
    claim = consumer.claim
    claimed: set[str] = set()

    async def known(_conn: Any, _consumer: str, event_ids: Sequence[str]) -> set[str]:
        return claimed & set(event_ids)

    async def first_claim(
        db: Database, sub: Subscription, batch: Sequence[Delivered], *rest: Any
    ) -> None:
        ids = [
            one.record.headers["ce_id"]
            for one in batch
            if one.record.headers.get("ce_type") in sub.types and "ce_id" in one.record.headers
        ]
        async with db.begin() as conn:
            fresh = await claim(conn, sub.group, ids)
        claimed.clear()
        claimed.update(fresh)
        await apply(db, sub, batch, *rest)

    @contextmanager
    def both() -> Any:
        with instead(consumer, _apply=first_claim), instead(consumer, claim=known):
            yield

    return both()


def skip_what_fails() -> AbstractContextManager[Any]:
    async def one_by_one(
        db: Database, of: Consumer, sub: Subscription, batch: Sequence[Delivered], in_a_row: int
    ) -> Any:
        for delivered in batch:
            with suppress(RuntimeError):  # the bug: and on to the next one
                await consumer._apply(db, sub, [delivered], in_a_row)  # pyright: ignore[reportPrivateUsage]
            await of.commit({delivered.partition: delivered.offset + 1})
        return consumer.Back()

    return instead(consumer, _one_by_one=one_by_one)


def set_aside_what_fails() -> AbstractContextManager[Any]:
    """An event whose handler failed ends among the dead letters, as if it could not be read."""

    async def one_by_one(
        db: Database, of: Consumer, sub: Subscription, batch: Sequence[Delivered], _in_a_row: int
    ) -> Any:
        async with db.begin() as conn:
            why = consumer.UnreadableEvent("its handler failed")
            letters = [dead_letters.Unreadable(one, why) for one in batch]
            await dead_letters.set_aside(conn, sub.group, letters)
        await of.commit({one.partition: one.offset + 1 for one in batch})
        return consumer.Back()

    return instead(consumer, _one_by_one=one_by_one)


def lose_dead_letters() -> AbstractContextManager[Any]:
    async def nothing(_conn: Any, _consumer: str, _letters: Any) -> set[Any]:
        return set()

    return instead(dead_letters, set_aside=nothing)


def mix_a_batch() -> AbstractContextManager[Any]:
    """A batch is handled in no order, as by workers that share it out."""
    apply = consumer._apply  # pyright: ignore[reportPrivateUsage]

    async def backwards(
        db: Database, sub: Subscription, batch: Sequence[Delivered], *rest: Any
    ) -> None:
        await apply(db, sub, list(reversed(batch)), *rest)

    return instead(consumer, _apply=backwards)


def forget_versions() -> AbstractContextManager[Any]:
    """No inbox, and a stale event overwrites what is newer."""
    evolve = placement.evolve

    def as_if_new(entry: Any, event: Any, version: int) -> Any:
        if isinstance(event, placement.IncidentOpened):
            fresh = placement.opened(entry.id, event, version)
            return replace(fresh, theme_id=entry.theme_id)
        return evolve(replace(entry, source_version=version - 1), event, version)

    @contextmanager
    def both() -> Any:
        with instead(consumer, claim=_claim_and_forget), instead(placement, evolve=as_if_new):
            yield

    return both()


async def _claim_and_forget(conn: Any, group: str, event_ids: Sequence[str]) -> set[str]:
    """Writes the claims, and lets everything through."""
    await _inbox_claim(conn, group, event_ids)
    return set(event_ids)


_inbox_claim = consumer.claim


def count_evidence_again() -> AbstractContextManager[Any]:
    """No inbox, and evidence without its natural key: what comes twice counts twice."""

    async def unknown(_conn: Any, _kind: str, _sources: Any) -> dict[str, Any]:
        return {}

    async def save(conn: Any, entries: Sequence[Any]) -> None:
        columns = [column.name for column in evidence.evidence.c]
        rows = [{name: getattr(one, name) for name in columns} for one in entries]
        if rows:
            await conn.execute(insert(evidence.evidence), rows)

    @contextmanager
    def all_three() -> Any:
        with ExitStack() as stack:
            stack.enter_context(instead(consumer, claim=_claim_and_forget))
            stack.enter_context(instead(evidence, by_source=unknown, save=save))
            yield

    return all_three()


async def _evidence_without_key(world: World) -> None:
    names = ", ".join(f'"{column.name}"' for column in evidence.evidence.c)
    await _rebuilt(world, "feedback", "evidence", names)


def claim_twice() -> AbstractContextManager[Any]:
    async def claim(conn: Any, group: str, event_ids: Sequence[str]) -> set[str]:
        claimed_at = consumer.utc_now()
        rows = [{"consumer": group, "event_id": e, "claimed_at": claimed_at} for e in event_ids]
        if rows:
            await conn.execute(insert(inbox), rows)
        return set(event_ids)

    return instead(consumer, claim=claim)


async def _inbox_without_key(world: World) -> None:
    for service in world.services:
        await _rebuilt(world, service, "inbox", "consumer, event_id, claimed_at")


async def _rebuilt(world: World, service: str, table: str, columns: str) -> None:
    """The table again without any of its keys, as a careless migration leaves it."""
    async with world.services[service].db.begin() as conn:
        await conn.exec_driver_sql(f"CREATE TABLE keyless AS SELECT {columns} FROM {table}")
        await conn.exec_driver_sql(f"DROP TABLE {table}")
        await conn.exec_driver_sql(f"ALTER TABLE keyless RENAME TO {table}")


PLANTS = (
    Plant("commit offsets before handling", frozenset({"S1", "S7"}), commit_offsets_first),
    Plant("commit one offset too far", frozenset({"S6", "S7"}), commit_one_too_far),
    Plant(
        "claim the inbox in another transaction", frozenset({"S1"}), claim_in_another_transaction
    ),
    Plant("skip an event that fails", frozenset({"S1", "S7"}), skip_what_fails),
    Plant("set aside an event that fails", frozenset({"S1", "S6"}), set_aside_what_fails),
    Plant("lose a dead letter", frozenset({"S6", "S7"}), lose_dead_letters),
    Plant("handle a batch in any order", frozenset({"S4"}), mix_a_batch),
    Plant("overwrite the newer with the stale", frozenset({"S4"}), forget_versions),
    Plant(
        "count evidence twice",
        frozenset({"S1", "S3"}),
        count_evidence_again,
        _evidence_without_key,
    ),
    Plant("drop the inbox's key", frozenset({"S7"}), claim_twice, _inbox_without_key),
)
