"""What the checker finds: a promise that was broken, about what, and how."""

from typing import Literal, NamedTuple

Promise = Literal["S1", "S2", "S3", "S4", "S5", "S6", "S7"]

PROMISES: dict[Promise, str] = {
    "S1": "every acknowledged signal is stored exactly once and counted in its theme's evidence",
    "S2": "nothing is stored that was definitely refused",
    "S3": "a theme has one open candidate, and its evidence equals the distinct incidents",
    "S4": "versions have no gaps, and every projection equals the fold of its log",
    "S5": "after an acknowledgement, reading never answers 404",
    "S6": "at rest nothing waits, and the dead letters are exactly the unreadable records",
    "S7": "accepted = processed + dead + pending, at every moment",
}


class Violation(NamedTuple):
    """`about` names the thing by its id; `what` is a sentence."""

    promise: Promise
    about: str
    what: str
