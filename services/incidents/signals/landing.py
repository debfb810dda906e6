"""Where a signal lands: in which incident, and what that does to it. Pure, and by event time only.

An alert (source, fingerprint) fires in episodes. Episodes with no more than `window` between them
are one incident; a longer pause parts them. So the incidents of an alert follow from the set of
its episodes, in whatever order they arrive, with one exception: incidents that were told to others
are never merged. An episode that arrives last and fills the pause between two incidents joins the
earlier one (or the open one, if it still fires), and the other stays. A closed incident takes in
only what lies wholly within it, and is never changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from services.incidents.incidents.domain import Redate, Reopen, Resolve
from services.incidents.incidents.episodes import Episode
from services.incidents.incidents.incident import Incident

Step = Redate | Reopen | Resolve


@dataclass(frozen=True, slots=True)
class Standing:
    """An incident of the alert as it stands, with its episodes."""

    incident: Incident
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Landing:
    """What becomes of one incident; `incident` is None for one that is to be opened.

    `moved` are the episodes that it gets: new, changed, or from another incident. A new incident is
    opened at the start of the first; `steps` follow, in order.
    """

    incident: Incident | None
    moved: tuple[Episode, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """A span that stays in one piece: an episode in question, or an incident that isn't."""

    start: datetime
    end: datetime | None
    standing: Standing | None
    """Whose it is so far; None for a new episode."""
    episode: Episode | None
    """None when the block is a whole incident."""


def land(standings: Sequence[Standing], episode: Episode, window: timedelta) -> list[Landing]:
    """What a new episode, or one that changed, does to the incidents of its alert; [] for nothing.

    `standings` are those that were open at the episode's start less `window`, or later. An end that
    was told is final: a second one is a repeat.
    """
    owner = next((one for one in standings if _known(one, episode) is not None), None)
    if owner is not None:
        known = _known(owner, episode)
        if known is None or known.told or known.ends_at == episode.ends_at:
            return []
        if owner.incident.state == "closed":
            return [Landing(owner.incident, (episode,), ())]
        if owner.incident.by_hand_at is not None:
            return [_joined(owner, (episode,))]
        if episode.ends_at and known.ends_at and episode.ends_at <= known.ends_at:
            # It expired, and its end, now told, was no later: the expiry stands, for good.
            return [Landing(owner.incident, (replace(known, told=True),), ())]
    elif (closed := _covering(standings, episode)) is not None:
        return [Landing(closed.incident, (episode,), ())]
    groups = _groups(_blocks(standings, owner, episode), window)
    return _settled(groups, owner, episode, window)


def _known(standing: Standing, episode: Episode) -> Episode | None:
    same = (one for one in standing.episodes if one.starts_at == episode.starts_at)
    return next(same, None)


def _covering(standings: Sequence[Standing], episode: Episode) -> Standing | None:
    """The closed incident that this whole episode lies in."""
    if episode.ends_at is None:
        return None
    for standing in standings:
        incident = standing.incident
        began_within = incident.opened_at <= episode.starts_at
        over = incident.resolved_at if incident.state == "closed" else None
        if over is not None and began_within and episode.ends_at <= over:
            return standing
    return None


def _blocks(
    standings: Sequence[Standing], owner: Standing | None, episode: Episode
) -> list[_Block]:
    """The owner's episodes each by itself, since its end may part them; the others in one piece."""
    blocks: list[_Block] = []
    if owner is None:
        blocks.append(_Block(episode.starts_at, episode.ends_at, None, episode))
    for standing in standings:
        incident = standing.incident
        if standing is owner:
            for one in standing.episodes:
                now = episode if one.starts_at == episode.starts_at else one
                blocks.append(_Block(now.starts_at, now.ends_at, standing, now))
        elif incident.state != "closed":
            blocks.append(_Block(incident.opened_at, incident.resolved_at, standing, None))
    return sorted(blocks, key=lambda block: block.start)


def _groups(blocks: Sequence[_Block], window: timedelta) -> list[list[_Block]]:
    """The blocks, in order of start, parted where nothing fires for longer than `window`."""
    groups: list[list[_Block]] = []
    reach: datetime | None = None
    for block in blocks:
        if groups and (reach is None or block.start - reach <= window):
            groups[-1].append(block)
            reach = None if reach is None or block.end is None else max(reach, block.end)
        else:
            groups.append([block])
            reach = block.end
    return groups


def _settled(
    groups: Sequence[Sequence[_Block]], owner: Standing | None, episode: Episode, window: timedelta
) -> list[Landing]:
    kept = _kept_by(owner, groups)
    landings: list[Landing] = []
    for group in groups:
        loose = tuple(block.episode for block in group if block.episode is not None)
        near = [b for b in group if b.episode is None and _touches(b, loose, window)]
        if owner is not None and group is kept:
            moved = tuple(one for one in loose if one is episode)
            landings.append(Landing(owner.incident, moved, _steps(owner.incident, loose, moved)))
        elif loose and near:
            landings.append(_joined(_host(near, loose), loose))
        elif loose:
            landings.append(Landing(None, loose, _end(loose)))
    return landings


def _kept_by(owner: Standing | None, groups: Sequence[Sequence[_Block]]) -> Sequence[_Block] | None:
    """What the owner keeps when a pause parts its episodes.

    The earliest part that no other incident is near; else what still fires; else the earliest.
    """
    if owner is None:
        return None
    its = [group for group in groups if any(b.standing is owner for b in group)]
    alone = (group for group in its if all(b.standing is owner for b in group))
    firing = (g for g in its if any(b.standing is owner and b.end is None for b in g))
    return next(chain(alone, firing, its))


def _touches(block: _Block, loose: Sequence[Episode], window: timedelta) -> bool:
    return any(
        (one.ends_at is None or block.start - one.ends_at <= window)
        and (block.end is None or one.starts_at - block.end <= window)
        for one in loose
    )


def _host(near: Sequence[_Block], loose: Sequence[Episode]) -> Standing:
    """Which incident takes these in: the open one when they still fire, else the earliest."""
    standings = [block.standing for block in near if block.standing is not None]
    if any(one.ends_at is None for one in loose):
        return next((one for one in standings if one.incident.is_open), standings[0])
    return standings[0]


def _joined(standing: Standing, news: tuple[Episode, ...]) -> Landing:
    """The incident with these episodes, new to it or changed, beside its others."""
    starts = {one.starts_at for one in news}
    rest = tuple(one for one in standing.episodes if one.starts_at not in starts)
    return Landing(standing.incident, news, _steps(standing.incident, (*rest, *news), news))


def _end(episodes: Sequence[Episode]) -> tuple[Step, ...]:
    """The end of these episodes, if all of them have ended."""
    ends = [one.ends_at for one in episodes if one.ends_at is not None]
    return (Resolve(max(ends), by_hand=False),) if len(ends) == len(episodes) else ()


def _steps(
    incident: Incident, held: Sequence[Episode], news: Sequence[Episode]
) -> tuple[Step, ...]:
    """What these news do to the incident that now holds all of `held`."""
    steps: list[Step] = []
    first = min(one.starts_at for one in held)
    if first != incident.opened_at:
        steps.append(Redate(first))
    if incident.resolved_at is None:
        by_hand_at = incident.by_hand_at
        steps += [s for s in _end(held) if by_hand_at is None or s.at >= by_hand_at]
        return tuple(steps)
    later = [e for e in news if e.ends_at is None or e.ends_at > incident.resolved_at]
    if later:
        at = max(incident.resolved_at, min(one.starts_at for one in later))
        steps += [Reopen(at, by_hand=False), *_end(later)]
    return tuple(steps)
