"""The incidents and episodes of some alerts, in memory, while a batch of signals lands in them.

Holds what was loaded and what changed, until one save. No I/O.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.incidents.catalog.domain import Service
from services.incidents.incidents import commands
from services.incidents.incidents.domain import OpenIncident, Silence, Unsilence
from services.incidents.incidents.episodes import Episode, Held, Silenced, silence_of
from services.incidents.incidents.incident import Incident
from services.incidents.incidents.store import Change
from services.incidents.signals.landing import Landing, Standing, land
from services.incidents.signals.signal import Signal
from services.incidents.signals.store import Alert
from shared.context import Context
from shared.ids import new_id

IsSilenced = Callable[[Signal, Service | None, Episode, datetime], Silenced | None]
"""Whether an episode that this signal tells is silenced, the signal's service being that, as of then."""


def never(signal: Signal, entry: Service | None, episode: Episode, now: datetime) -> None:
    """Where nothing is silenced."""
    return


@dataclass(slots=True)
class Book:
    """`window` is the pause up to which an alert that fires again is the same incident."""

    window: timedelta
    catalog: Mapping[str, Service]
    is_silenced: IsSilenced = never
    changes: dict[str, Change] = field(default_factory=dict[str, Change])
    touched: dict[tuple[Alert, datetime], Held] = field(
        default_factory=dict[tuple[Alert, datetime], Held]
    )
    moved: list[Held] = field(default_factory=list[Held])
    """Episodes that another incident had before."""
    _episodes: dict[Alert, dict[datetime, Held]] = field(
        default_factory=dict[Alert, dict[datetime, Held]]
    )

    def enter(self, incidents: Iterable[Incident], held: Iterable[Held], ctx: Context) -> None:
        """Take in what is stored. What the book knows already stays as it is."""
        for incident in incidents:
            self.changes.setdefault(incident.id, commands.unchanged(incident, ctx))
        for one in held:
            alert = Alert(one.source, one.fingerprint)
            self._episodes.setdefault(alert, {}).setdefault(one.episode.starts_at, one)

    def episode(self, alert: Alert, starts_at: datetime) -> Held | None:
        return self._episodes.get(alert, {}).get(starts_at)

    def knows(self, alert: Alert) -> bool:
        """Whether the alert has an incident that its next signal could belong to."""
        return bool(self._episodes.get(alert))

    def land(self, alert: Alert, episode: Episode, signal: Signal | None, ctx: Context) -> None:
        """Let this episode, new or changed, do what it does to the alert's incidents.

        A new episode needs its `signal`: an incident that it opens is about that. An end without a
        start of its own says that the alert fires no more, and ends all that began before.
        """
        episode = self._with_silence(alert, episode, signal, ctx)
        if episode.told and episode.ends_at == episode.starts_at:
            for one in self._firing(alert, episode.starts_at):
                self._land(alert, replace(one, ends_at=episode.ends_at), None, ctx)
        elif episode.ends_at is None and not episode.told:
            episode = replace(episode, ends_at=self._ended_by(alert, episode.starts_at))
        self._land(alert, episode, signal, ctx)

    def restate(self, alert: Alert, known: Episode, signal: Signal, ctx: Context) -> None:
        """Take the word of the start of an episode whose end came first: an end often names less."""
        silenced = self._silenced(known, signal, ctx)
        if silenced != known.silenced:
            self.resilence(alert, replace(known, silenced=silenced), ctx)

    def resilence(self, alert: Alert, episode: Episode, ctx: Context) -> None:
        """Note that a known episode is silenced otherwise than was known, and what that changes."""
        held = self.episode(alert, episode.starts_at)
        assert held is not None, "an episode is silenced otherwise once it is known"
        self.hold(alert, episode, held.incident_id)
        self._judge(alert, held.incident_id, ctx)

    def expire(self, held: Held, ctx: Context) -> None:
        """End an episode as of its expiry; should its sender come back, it goes on."""
        alert = Alert(held.source, held.fingerprint)
        end = max(held.episode.expires_at or held.episode.starts_at, held.episode.starts_at)
        self._land(alert, replace(held.episode, ends_at=end), None, ctx)

    def _land(self, alert: Alert, episode: Episode, signal: Signal | None, ctx: Context) -> None:
        standings = self._standings(alert)
        changed: list[str] = []
        for landing in land(standings, episode, self.window):
            change = self._changed(landing, signal, standings, alert, ctx)
            for step in landing.steps:
                change = commands.after(change, step)
            self.changes[change.incident.id] = change
            for moved in landing.moved:
                self.hold(alert, moved, change.incident.id)
            changed.append(change.incident.id)
        for incident_id in changed:  # once each has the episodes that it keeps
            self._judge(alert, incident_id, ctx)

    def _judge(self, alert: Alert, incident_id: str, ctx: Context) -> None:
        """Bring in line with its episodes whether the incident is silenced."""
        known = self._episodes.get(alert, {}).values()
        own = [held.episode for held in known if held.incident_id == incident_id]
        if not own:
            return
        verdict = silence_of(own)
        step = Silence(verdict) if isinstance(verdict, str) else Unsilence(verdict)
        change = self.changes[incident_id]
        if isinstance(verdict, str) is (change.incident.silenced_by is not None):
            return
        change = change if change.entries else replace(change, ctx=ctx)
        self.changes[incident_id] = commands.after(change, step)

    def _with_silence(
        self, alert: Alert, episode: Episode, signal: Signal | None, ctx: Context
    ) -> Episode:
        """The episode with what is known of its silence, which its first signal decides."""
        known = self.episode(alert, episode.starts_at)
        if known is not None:
            return replace(episode, silenced=still(known.episode))
        if signal is None:
            return episode
        return replace(episode, silenced=self._silenced(episode, signal, ctx))

    def _silenced(self, episode: Episode, signal: Signal, ctx: Context) -> Silenced | None:
        entry = self.catalog.get(signal.service or "")
        return self.is_silenced(signal, entry, episode, ctx.now)

    def hold(self, alert: Alert, episode: Episode, incident_id: str) -> None:
        """Note the episode as it is now, to be saved."""
        held = Held(alert.source, alert.fingerprint, incident_id, episode)
        known = self.episode(alert, episode.starts_at)
        if known is not None and known.incident_id != incident_id:
            self.moved.append(held)
        self._episodes.setdefault(alert, {})[episode.starts_at] = held
        self.touched[alert, episode.starts_at] = held

    def _firing(self, alert: Alert, at: datetime) -> list[Episode]:
        known = [held.episode for held in self._episodes.get(alert, {}).values()]
        return [one for one in known if one.ends_at is None and one.starts_at <= at]

    def _ended_by(self, alert: Alert, starts_at: datetime) -> datetime | None:
        """The first end without a start that came before this late start."""
        ends = [
            one.starts_at
            for one in (held.episode for held in self._episodes.get(alert, {}).values())
            if one.told and one.ends_at == one.starts_at and one.starts_at > starts_at
        ]
        return min(ends, default=None)

    def _standings(self, alert: Alert) -> list[Standing]:
        episodes: dict[str, list[Episode]] = {}
        for held in self._episodes.get(alert, {}).values():
            episodes.setdefault(held.incident_id, []).append(held.episode)
        standings = [
            Standing(self.changes[incident_id].incident, tuple(some))
            for incident_id, some in episodes.items()
        ]
        return sorted(standings, key=lambda standing: standing.incident.opened_at)

    def _changed(
        self,
        landing: Landing,
        signal: Signal | None,
        standings: list[Standing],
        alert: Alert,
        ctx: Context,
    ) -> Change:
        if landing.incident is not None:
            known = self.changes[landing.incident.id]
            # Its change is of whoever says so, not of whoever was first in the batch that loaded it.
            return known if known.entries else replace(known, ctx=ctx)
        opened_at = min(one.starts_at for one in landing.moved)
        known = [self._episodes.get(alert, {}).get(one.starts_at) for one in landing.moved]
        parted = next((held for held in known if held is not None), None)
        if parted is not None:
            was = self.changes[parted.incident_id].incident
            wanted = self._like(was, opened_at)
        else:
            assert signal is not None, "a new episode comes with its signal"
            wanted = self._from(signal, opened_at)
        verdict = silence_of(landing.moved)
        silenced_by = verdict if isinstance(verdict, str) else None
        return commands.opening(replace(wanted, silenced_by=silenced_by), ctx)

    def _from(self, signal: Signal, opened_at: datetime) -> OpenIncident:
        return OpenIncident(
            id=new_id("inc"),
            source=signal.source,
            title=signal.title,
            severity=signal.severity,
            opened_at=opened_at,
            claimed_service=signal.service,
            entry=self.catalog.get(signal.service or ""),
            alert_name=signal.alert_name,
            description=signal.description,
            customers_affected=signal.customers_affected,
            labels=signal.labels,
            fingerprint=signal.fingerprint,
        )

    def _like(self, was: Incident, opened_at: datetime) -> OpenIncident:
        """An incident of the same alert, parted from the one that it was taken for."""
        entry = Service(was.service, was.product, None, was.tier, (), (), 0)
        return OpenIncident(
            id=new_id("inc"),
            source=was.source,
            title=was.title,
            severity=was.severity,
            opened_at=opened_at,
            claimed_service=was.claimed_service,
            entry=entry,
            alert_name=was.alert_name,
            description=was.description,
            customers_affected=was.customers_affected,
            labels=was.labels,
            fingerprint=was.fingerprint,
        )


def still(known: Episode) -> Silenced | None:
    """Its silence, to be looked at again though that seemed settled: the episode is to change."""
    silenced = known.silenced
    if silenced is None or silenced.review_at is not None or silenced.heard_from is not None:
        return silenced
    return replace(silenced, review_at=known.starts_at)


def signals_context(ctx: Context, source: str) -> Context:
    """The context of what an alert does by itself, whoever delivered it."""
    return replace(ctx, actor=f"signals:{source}")
