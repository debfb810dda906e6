"""What people decide about themes, and what time and new policies do to them; in the caller's
transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.feedback.detection import store as detection
from services.feedback.evidence import store as evidence
from services.feedback.items import store as items
from services.feedback.themes import store
from services.feedback.themes.domain import Theme, check_live, check_merge, check_split
from services.feedback.themes.placement import merged_away
from services.feedback.themes.reassess import Touch, reassess, theme_event
from shared.context import Context
from shared.contracts.feedback import ThemeSplit
from shared.ids import new_id
from shared.outbox import publish
from shared.refusals import VersionMismatch

TELL_AGAIN = timedelta(hours=24)
"""How old the numbers that were told of a theme may grow, by event time, while events come in."""


async def merge(
    conn: AsyncConnection,
    theme_id: str,
    into_id: str,
    reason: str,
    ctx: Context,
    *,
    expected: int | None,
) -> Theme:
    """Make a theme part of another: its evidence, its keys and what the roadmap does about it
    follow. Returns the target. Raises ThemeUnknown, VersionMismatch and the refusals of
    `check_merge`."""
    theme, into = await store.load(conn, theme_id), await store.load(conn, into_id)
    _check_version(theme, expected)
    check_merge(theme, into)
    as_of = await evidence.current_horizon(conn) or ctx.now
    gone, event = merged_away(theme, into.id, as_of, ctx, by=ctx.actor, reason=reason)
    await store.save(conn, [gone])
    moved = await evidence.incidents_of(conn, theme_id)
    await evidence.move_all(conn, theme_id, into.id)
    await store.move_keys(conn, theme_id, into.id)
    await store.follow_merge(conn, theme_id, into.id)
    await items.follow_merge(conn, theme_id, into.id)
    await store.note_decision(
        conn, "merge", theme_id, into.id, by=ctx.actor, reason=reason, at=ctx.now
    )
    await detection.end_escalations(conn, theme_id, as_of)
    if theme.told_as_of is not None:
        await store.make_known(conn, [into.id])
    await publish(conn, [event])
    await reassess(conn, {into.id: Touch(ctx, tuple(moved))}, as_of)
    return await store.load(conn, into.id)


async def split(
    conn: AsyncConnection,
    theme_id: str,
    evidence_ids: Sequence[str],
    title: str,
    reason: str,
    ctx: Context,
    *,
    expected: int | None,
) -> Theme:
    """Make a new theme of part of another's evidence. Its keys stay: what comes in later belongs to
    the old one. Returns the new one. Raises ThemeUnknown, VersionMismatch and the refusals of
    `check_split`."""
    theme = await store.load(conn, theme_id)
    _check_version(theme, expected)
    check_live(theme)
    wanted = sorted(set(evidence_ids))
    rows = await evidence.rows_of(conn, theme_id)
    check_split(theme, rows.keys(), wanted)
    as_of = await evidence.current_horizon(conn) or ctx.now
    incident_ids = [rows[id_].source_id for id_ in wanted if rows[id_].kind == "incident"]
    new = Theme(
        id=new_id("thm"),
        product=theme.product,
        service=theme.service,
        title=title,
        title_given=True,
        template=theme.template,
        alert_name=theme.alert_name,
        created_at=ctx.now,
        first_at=min(rows[id_].at for id_ in wanted),
        last_at=max(rows[id_].at for id_ in wanted),
    )
    new, event = theme_event(
        new, ThemeSplit, as_of, ctx, from_theme_id=theme_id, by=ctx.actor, reason=reason
    )
    await store.add(conn, [new])
    await evidence.move(conn, wanted, new.id)
    await store.note_decision(
        conn,
        "split",
        new.id,
        theme_id,
        by=ctx.actor,
        reason=reason,
        at=ctx.now,
        evidence_ids=wanted,
    )
    await publish(conn, [event])
    await reassess(conn, {theme_id: Touch(ctx), new.id: Touch(ctx, tuple(incident_ids))}, as_of)
    return await store.load(conn, new.id)


def _check_version(theme: Theme, expected: int | None) -> None:
    if expected is not None and expected != theme.version:
        raise VersionMismatch(
            f"Theme {theme.id} is at version {theme.version}, not {expected}; read it again."
        )


async def dismiss(conn: AsyncConnection, theme_id: str, at: datetime) -> bool:
    """Note that the theme's candidate was declined then; the newest decline counts. False for an
    unknown theme. The caller reassesses."""
    theme = (await store.load_many(conn, [theme_id])).get(theme_id)
    if theme is None:
        return False
    if theme.dismissed_at is None or theme.dismissed_at < at:
        await store.save(conn, [replace(theme, dismissed_at=at)])
    return True


async def take_policy_changes(conn: AsyncConnection) -> None:
    """Make every theme due that a changed policy may judge anew."""
    for product in await detection.take_changes(conn):
        await store.make_due(conn, product or None)


async def review_due(conn: AsyncConnection, as_of: datetime, ctx: Context, limit: int) -> int:
    """Reassess the themes whose state may have changed by then though nothing came in; returns how
    many were looked at."""
    return await _look_again(conn, await store.due(conn, as_of, limit), as_of, ctx)


async def tell_again(
    conn: AsyncConnection, as_of: datetime, ctx: Context, limit: int, *, quiet: bool
) -> int:
    """Bring the numbers up to then that the others have of themes, of those that were ever told;
    returns how many were looked at. `quiet`: nothing comes in, so that all may be told anew,
    not only those that were told long ago."""
    before = as_of if quiet else as_of - TELL_AGAIN
    return await _look_again(conn, await store.told_before(conn, before, limit), as_of, ctx)


async def _look_again(
    conn: AsyncConnection, theme_ids: Sequence[str], as_of: datetime, ctx: Context
) -> int:
    touched = {theme_id: Touch(ctx.about(theme_id), changed=False) for theme_id in theme_ids}
    if touched:
        await reassess(conn, touched, as_of)
        # failpoint: review.reassessed
    return len(touched)
