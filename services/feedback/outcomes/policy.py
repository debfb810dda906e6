"""How long to watch a delivered item, and how sure to be: the numbers behind a verdict. Data."""

from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtr, ndtri

from services.feedback.detection.policy import InvalidPolicy


@dataclass(frozen=True, slots=True)
class OutcomePolicy:
    """What a verdict asks for; refuses numbers that make no sense.

    `window_days`: how long to look back from the delivery, and how long to watch after it.
    `min_days_before`: look back at least so far, however young the theme.
    `settle_days`: days after the delivery that count for neither side.
    `min_days_after`, `min_count_before`: with less, there is nothing to judge.
    `min_untreated`: others count as the untreated only if so many came before.
    `max_false_verified`: the chance that a theme without a fix is ever verified.
    `collapse_ratio`: when the untreated fall to this, it was not the fix: exposure went away.
    `displaced_share`: the part of the fall that one sibling must have taken over.
    """

    window_days: int = 56
    min_days_before: int = 28
    settle_days: int = 0
    min_days_after: int = 14
    min_count_before: int = 5
    min_untreated: int = 20
    max_false_verified: float = 0.05
    collapse_ratio: float = 0.1
    displaced_share: float = 0.5

    def __post_init__(self) -> None:
        problems = [
            f"Set {name} to {least} or more; it is {value}."
            for name, value, least in (
                ("min_days_before", self.min_days_before, 7),
                ("settle_days", self.settle_days, 0),
                ("min_days_after", self.min_days_after, 1),
                ("min_count_before", self.min_count_before, 1),
                ("min_untreated", self.min_untreated, 1),
            )
            if value < least
        ]
        problems += [
            f"Set {name} above 0 and below 1; it is {value}."
            for name, value in (
                ("max_false_verified", self.max_false_verified),
                ("collapse_ratio", self.collapse_ratio),
                ("displaced_share", self.displaced_share),
            )
            if not 0 < value < 1
        ]
        longest = max(self.min_days_before, self.min_days_after)
        if self.window_days < longest:
            problems.append(f"Set window_days to {longest} or more; it is {self.window_days}.")
        if problems:
            raise InvalidPolicy(tuple(problems))

    def p_needed(self, share: float) -> float:
        """How small p must be to conclude when this share of the time after is over.

        O'Brien and Fleming's boundary (1979): an early look must be far surer than the last one.
        A Brownian path ends above c with half the chance of ever reaching c, so however often one
        looks, false alarms stay within `max_false_verified`; the last look asks for half of it.
        """
        last = float(ndtri(self.max_false_verified / 2))
        return float(ndtr(last / sqrt(share)))
