"""Takes feedback, votes and links in, in the caller's transaction. Each makes or changes evidence."""

from dataclasses import asdict, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.evidence import store as evidence
from services.feedback.evidence import votes
from services.feedback.feedback import store
from services.feedback.feedback.domain import Feedback, GiveFeedback, as_evidence
from services.feedback.themes import store as themes
from services.feedback.themes.domain import UNASSIGNED, Theme
from services.feedback.themes.reassess import Touch, reassess
from shared.context import Context
from shared.contracts.feedback import FeedbackLinked, FeedbackReceived, FeedbackVoted
from shared.ids import new_id
from shared.outbox import publish
from shared.refusals import VersionMismatch


async def receive(conn: AsyncConnection, command: GiveFeedback, ctx: Context) -> Feedback:
    """Keep what was said; with a theme it is evidence of it at once. Raises ThemeUnknown."""
    theme = await _live(conn, command.theme_id) if command.theme_id else None
    stated = {name: value for name, value in asdict(command).items() if name != "theme_id"}
    if theme is not None:
        stated["product"] = command.product or theme.product
        stated["service"] = command.service or theme.service
    said = Feedback(id=new_id("fbk"), **stated, votes=0, version=1)
    await store.save(conn, said, was=None)
    received = FeedbackReceived(
        feedback_id=said.id,
        at=said.happened_at,
        kind=said.kind,
        product=said.product,
        service=said.service,
        theme_id=theme.id if theme else None,
    )
    await publish(conn, [ctx.event(received, subject=said.id, version=1, at=said.happened_at)])
    if theme is not None:
        await _place(conn, said, theme, None, ctx)
    return said


async def vote(conn: AsyncConnection, feedback_id: str, voter: str, ctx: Context) -> Feedback:
    """Count the vote. Idempotent: who voted for it before changes nothing. Raises FeedbackUnknown."""
    said = await store.load(conn, feedback_id)
    if not await votes.add(conn, feedback_id, voter, ctx.now):
        return said
    counted = replace(said, votes=said.votes + 1, version=said.version + 1)
    await store.save(conn, counted, was=said.version)
    voted = FeedbackVoted(feedback_id=said.id, at=ctx.now, votes=counted.votes)
    await publish(conn, [ctx.event(voted, subject=said.id, version=counted.version, at=ctx.now)])
    row = (await evidence.by_source(conn, "feedback", [feedback_id])).get(feedback_id)
    if row is not None and row.theme_id is not None:
        await evidence.save(
            conn, [replace(row, votes=counted.votes, source_version=counted.version)]
        )
        as_of = await evidence.advance_horizon(conn, [ctx.now], ctx.now)
        await reassess(conn, {row.theme_id: Touch(ctx)}, as_of)
    return counted


async def link(
    conn: AsyncConnection,
    feedback_id: str,
    theme_id: str | None,
    ctx: Context,
    *,
    expected: int | None,
) -> Feedback:
    """Make feedback evidence of a theme, or with None of no theme. Idempotent.

    Raises FeedbackUnknown, ThemeUnknown, VersionMismatch.
    """
    said = await store.load(conn, feedback_id)
    if expected is not None and expected != said.version:
        raise VersionMismatch(
            f"Feedback {said.id} is at version {said.version}, not {expected}; read it again."
        )
    theme = await _live(conn, theme_id) if theme_id else None
    row = (await evidence.by_source(conn, "feedback", [feedback_id])).get(feedback_id)
    was = row.theme_id if row else None
    if was == (theme.id if theme else None):
        return said
    linked = replace(said, version=said.version + 1)
    await store.save(conn, linked, was=said.version)
    event = FeedbackLinked(
        feedback_id=said.id, at=ctx.now, theme_id=theme.id if theme else None, was_theme_id=was
    )
    await publish(conn, [ctx.event(event, subject=said.id, version=linked.version, at=ctx.now)])
    await _place(conn, linked, theme, was, ctx)
    return linked


async def _live(conn: AsyncConnection, theme_id: str) -> Theme:
    """The theme of this id, or the one it was merged into. Raises ThemeUnknown."""
    live = await themes.live_ids(conn, [theme_id])
    return await themes.load(conn, live.get(theme_id, theme_id))


async def _place(
    conn: AsyncConnection, said: Feedback, theme: Theme | None, was: str | None, ctx: Context
) -> None:
    """Let the ledger say whose evidence this is, and have both themes assessed."""
    row = as_evidence(
        said,
        new_id("evd"),
        theme.id if theme else None,
        said.product or (theme.product if theme else UNASSIGNED),
        said.service or (theme.service if theme else UNASSIGNED),
    )
    await evidence.save(conn, [row])
    as_of = await evidence.advance_horizon(conn, [said.happened_at], ctx.now)
    touched = {theme_id for theme_id in (was, theme.id if theme else None) if theme_id}
    await reassess(conn, {theme_id: Touch(ctx) for theme_id in touched}, as_of)
