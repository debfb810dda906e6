"""The demand detector: when what customers and stakeholders ask for makes a theme rise. Pure.

Like recurrence it is a fold over event time: neither the order of arrival nor how often one asked
in between changes anything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Literal

from services.feedback.detection.policy import InvalidPolicy, refuse_unknown
from services.feedback.detection.reason import Reason
from services.feedback.detection.recurrence import Assessment, Rise

DETECTOR = "demand"
_TOLERANCE = 1e-9
_MOST = 1e6
_LONGEST_DAYS = 3_660


@dataclass(frozen=True, slots=True)
class DemandPolicy:
    """When what people ask for makes a theme rise and fall; refuses numbers that make no sense.

    `on`, `off`: points in the window to rise, and below which it falls after `quiet_days` on end.
    `*_weight`: the points of a mention by its kind of voice, and of a vote. `min_voices`: how many
    different people or accounts it takes, so that no single one can raise a theme. `growth_factor`:
    how much the points must have grown since a dismissal to rise again.
    """

    window_days: int = 90
    on: float = 10.0
    off: float = 5.0
    min_voices: int = 3
    customer_weight: float = 3.0
    stakeholder_weight: float = 2.0
    operator_weight: float = 1.0
    vote_weight: float = 1.0
    quiet_days: int = 14
    growth_factor: float = 1.5
    version: int = 1

    def __post_init__(self) -> None:
        problems = tuple(_problems(self))
        if problems:
            raise InvalidPolicy(problems)

    def to_json(self) -> dict[str, object]:
        """Plain values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "DemandPolicy":
        """The policy that these values state; what is absent keeps its default.

        Raises InvalidPolicy.
        """
        refuse_unknown(data, {one.name for one in fields(cls)})
        return cls(**data)


def _problems(policy: DemandPolicy) -> Iterable[str]:
    broken = False
    for one in fields(policy):
        value: object = getattr(policy, one.name)
        whole = one.type is int
        lowest, most = (1, _LONGEST_DAYS) if whole else (0, _MOST)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            yield f"Set {one.name} to a number; it is {value!r}."
        elif whole and value != int(value):
            yield f"Set {one.name} to a whole number; it is {value:g}."
        elif not lowest <= value <= most and one.name != "version":
            yield f"Set {one.name} between {lowest} and {most:g}; it is {value:g}."
        else:
            continue
        broken = True
    if broken:
        return
    if policy.on <= 0:
        yield f"Set on above 0; it is {policy.on:g}."
    if policy.off > policy.on:
        yield f"Set off to at most on ({policy.on:g}); it is {policy.off:g}, so no rise would hold."
    if policy.growth_factor < 1:
        yield f"Set growth_factor to 1 or more; it is {policy.growth_factor:g}."


@dataclass(frozen=True, slots=True)
class Voice:
    """One mention or vote. `who` is the person or the account; `kind` a kind of feedback or `vote`."""

    at: datetime
    who: str
    kind: Literal["customer", "stakeholder", "operator", "vote"]

    def weight(self, policy: DemandPolicy) -> float:
        """Its points."""
        match self.kind:
            case "customer":
                return policy.customer_weight
            case "stakeholder":
                return policy.stakeholder_weight
            case "operator":
                return policy.operator_weight
            case "vote":
                return policy.vote_weight


# state      what happens at a time                                    next
# quiet      a voice brings points ≥ on, from ≥ min_voices, and after   escalated
#            a dismissal points ≥ growth_factor × those dismissed
# escalated  points < off for quiet_days on end                         quiet
# escalated  a dismissal                                                quiet
def assess_demand(
    voices: Iterable[Voice],
    policy: DemandPolicy,
    as_of: datetime,
    dismissed_at: datetime | None = None,
) -> Assessment:
    """Whether the theme stands up at `as_of`, every time that it did before, and why.

    Only voices up to `as_of` count; each counts for `window_days`.
    """
    heard = sorted(
        (voice for voice in voices if voice.at <= as_of),
        key=lambda voice: (voice.at, voice.who, voice.kind),
    )
    walk = _Walk(policy)
    for at, moves in _timeline(heard, policy, as_of, dismissed_at):
        walk.pass_time(at)
        for gone, voice in moves:
            walk.count(voice, -1 if gone else 1)
        walk.settle(at, spoke=any(not gone for gone, _ in moves), dismissed=at == dismissed_at)
    walk.pass_time(as_of)
    return walk.assessment()


_Moves = Sequence[tuple[bool, Voice]]


def _timeline(
    heard: Sequence[Voice], policy: DemandPolicy, as_of: datetime, dismissed_at: datetime | None
) -> list[tuple[datetime, _Moves]]:
    """The times at which the points change, up to `as_of`, and by which voices coming and going."""
    window = timedelta(days=policy.window_days)
    moves: dict[datetime, list[tuple[bool, Voice]]] = {}
    for voice in heard:
        moves.setdefault(voice.at, []).append((False, voice))
        if voice.at + window <= as_of:
            moves.setdefault(voice.at + window, []).append((True, voice))
    if dismissed_at is not None and dismissed_at <= as_of:
        moves.setdefault(dismissed_at, [])
    return sorted(moves.items(), key=lambda pair: pair[0])


@dataclass(slots=True)
class _Walk:
    """Where the fold stands. Lives inside one call of `assess_demand`."""

    policy: DemandPolicy
    points: float = 0.0
    voices: Counter[str] = field(default_factory=Counter[str])
    rises: list[Rise] = field(default_factory=list[Rise])
    escalated: bool = False
    low_since: datetime | None = None
    needed: float = 0.0

    def count(self, voice: Voice, sign: int) -> None:
        self.points += sign * voice.weight(self.policy)
        self.voices[voice.who] += sign
        if not self.voices[voice.who]:
            del self.voices[voice.who]

    def pass_time(self, to: datetime) -> None:
        if not self.escalated or self.low_since is None:
            return
        falls_at = self.low_since + timedelta(days=self.policy.quiet_days)
        if falls_at <= to:
            self._end(falls_at, "quiet")

    def settle(self, at: datetime, *, spoke: bool, dismissed: bool) -> None:
        """What the counts of a time mean, once everything of that time is counted."""
        if spoke and not self.escalated and self._refusal() is None:
            self.rises.append(Rise(at, None, (self._reason("demand", "Rose"),)))
            self.escalated, self.low_since, self.needed = True, None, 0.0
        if self.escalated:
            low = self.points < self.policy.off - _TOLERANCE
            self.low_since = (self.low_since or at) if low else None
        if dismissed:
            self.needed = self.points * self.policy.growth_factor
            if self.escalated:
                self._end(at, "dismissed")

    def _end(self, at: datetime, because: Literal["quiet", "dismissed"]) -> None:
        self.rises[-1] = replace(self.rises[-1], fell_at=at, fell_because=because)
        self.escalated, self.low_since = False, None

    def _refusal(self) -> str | None:
        if self.points < self.policy.on - _TOLERANCE:
            return "too_little_demand"
        if len(self.voices) < self.policy.min_voices:
            return "too_few_voices"
        if self.points < self.needed - _TOLERANCE:
            return "dismissed"
        return None

    def _numbers(self) -> dict[str, float]:
        return {
            "points": round(max(0.0, self.points), 6),
            "on": self.policy.on,
            "off": self.policy.off,
            "voices": len(self.voices),
            "min_voices": self.policy.min_voices,
            "needed_after_dismissal": round(self.needed, 6),
            "window_days": self.policy.window_days,
            "policy_version": self.policy.version,
        }

    def _reason(self, name: str, verb: str) -> Reason:
        policy = self.policy
        text = (
            f"{verb}: {max(0.0, self.points):g} points of demand in {policy.window_days} days where"
            f" {max(policy.on, self.needed):g} make it rise, from {len(self.voices)} different"
            f" voices where {policy.min_voices} are needed."
        )
        return Reason(DETECTOR, name, text, self._numbers())

    def assessment(self) -> Assessment:
        if self.escalated:
            found = self.rises[-1].reasons
        else:
            found = (self._reason(self._refusal() or "awaiting_voice", "Has not risen"),)
        return Assessment(
            state="escalated" if self.escalated else "quiet",
            rises=tuple(self.rises),
            reasons=found,
            numbers=self._numbers(),
        )
