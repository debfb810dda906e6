"""Bugs between a sender's request and its answer."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from services.incidents.incidents import commands
from services.incidents.incidents.store import Change
from services.incidents.signals import intake, queries, recording, writer
from services.incidents.signals import store as signal_store
from services.incidents.signals.continuing import Post
from services.incidents.signals.queries import SignalView
from services.incidents.signals.recording import Written
from services.incidents.signals.writer import TooManySignalsWaiting, Writer
from shared.database import UNAVAILABLE
from shared.refusals import NotFound
from tests.faults.hard_day import ONLY_ONCE
from tests.faults.plants.plant import Plant, instead


def answer_before_the_commit() -> AbstractContextManager[Any]:
    async def write(self: Writer, batch: Sequence[Any]) -> None:
        try:
            async with self.db.begin() as conn:
                posts = [one.post for one in batch]
                answers = await recording.record(conn, posts, self.settings.reopen_window)
                for one, answer in zip(batch, answers, strict=True):
                    one.answer.set_result(answer)
        except UNAVAILABLE:
            return  # everybody was answered already

    return instead(Writer, _write=write)


def store_part_of_a_batch() -> AbstractContextManager[Any]:
    record = recording.record

    async def of_some(conn: Any, posts: Sequence[Post], *how: Any) -> list[list[Written]]:
        kept = [Post(post.signals[:2], post.ctx) for post in posts]
        answers = await record(conn, kept, *how)
        return [
            answer + [Written("sig_never", answer[0].incident_id, False)] * (len(post.signals) - 2)
            for answer, post in zip(answers, posts, strict=True)
        ]

    return instead(writer, record=of_some)


def refuse_after_the_commit() -> AbstractContextManager[Any]:
    take_in = intake.take_in

    async def then_refuse(for_writer: Writer, post: Post, *more: Any) -> list[Written]:
        written = await take_in(for_writer, post, *more)
        if any(one.fingerprint == ONLY_ONCE for one in post.signals):
            raise TooManySignalsWaiting("Too many signals are waiting; send it again.")
        return written

    return instead(intake, take_in=then_refuse)


def forget_the_outbox() -> AbstractContextManager[Any]:
    publish = commands.publish
    calls = 0

    async def sometimes(conn: Any, events: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 4:
            await publish(conn, events)

    return instead(commands, publish=sometimes)


def skip_a_version() -> AbstractContextManager[Any]:
    first = Change.first_version.fget
    assert first is not None

    def one_too_far(self: Change) -> int:
        return first(self) + (self.was is not None)

    return instead(Change, first_version=property(one_too_far))


def lose_repeats() -> AbstractContextManager[Any]:
    async def nothing(_conn: Any, _repeated: Any) -> None:
        return

    return instead(signal_store, count_repeats=nothing)


def read_from_a_stale_copy() -> AbstractContextManager[Any]:
    signal = queries.signal
    seen: set[str] = set()

    async def second_time_only(conn: Any, signal_id: str) -> SignalView:
        if signal_id not in seen:
            seen.add(signal_id)
            raise NotFound(f"There is no signal {signal_id!r} yet; ask again.")
        return await signal(conn, signal_id)

    return instead(queries, signal=second_time_only)


def know_alerts_by_their_arrival() -> AbstractContextManager[Any]:
    """The natural key is gone: a repeat is looked for by an identity that no two posts share."""

    async def none(_conn: Any, _occurrences: Any) -> dict[Any, Any]:
        return {}

    return instead(signal_store, find=none)


async def without_the_key(world: Any) -> None:
    """Drops the unique key of signals, as a migration might."""
    async with world.services["incidents"].db.begin() as conn:
        rows = "id, source, fingerprint, status, starts_at, ends_at, incident_id, received_at"
        await conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        await conn.exec_driver_sql(
            f"CREATE TABLE keyless AS SELECT {rows}, last_seen_at, repeats FROM signals"
        )
        await conn.exec_driver_sql("DROP TABLE signals")
        await conn.exec_driver_sql("ALTER TABLE keyless RENAME TO signals")
        await conn.exec_driver_sql("CREATE UNIQUE INDEX signals_id ON signals (id)")


PLANTS = (
    Plant("acknowledge before the commit", frozenset({"S1"}), answer_before_the_commit),
    Plant("acknowledge a batch, store part of it", frozenset({"S1"}), store_part_of_a_batch),
    Plant("refuse after the commit", frozenset({"S2"}), refuse_after_the_commit),
    Plant("commit effects without the outbox row", frozenset({"S1", "S4"}), forget_the_outbox),
    Plant("publish without a version step", frozenset({"S4"}), skip_a_version),
    Plant("lose the count of repeats", frozenset({"S1"}), lose_repeats),
    Plant("read from a stale copy", frozenset({"S5"}), read_from_a_stale_copy),
    Plant(
        "drop the unique key of signals",
        frozenset({"S1"}),
        know_alerts_by_their_arrival,
        without_the_key,
    ),
)
