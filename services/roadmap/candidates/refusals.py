"""What a candidate refuses. Each is named for what it refuses; see `shared.refusals`."""

from shared.refusals import Invalid, NotFound, Refusal


class CandidateUnknown(NotFound):
    """No candidate has this id."""


class CandidateAlreadyRaised(Refusal):
    """The theme has a candidate that waits for a decision."""


class CandidateAlreadyAccepted(Refusal):
    """It has become an item."""


class CandidateAlreadyDeclined(Refusal):
    """A person said no."""


class CandidateAlreadyMerged(Refusal):
    """Another candidate stands for it."""


class CandidateAlreadyWithdrawn(Refusal):
    """What raised it turned out not to have happened."""


class DecidedBeforeItWasRaised(Invalid):
    """The decision's time lies before the candidate was raised."""


class SnoozeNeverEnds(Invalid):
    """A snooze with neither an end nor a threshold, or with a threshold that no theme can reach."""


class SnoozeEndsAtOnce(Invalid):
    """Its end lies before its begin, or the evidence has reached its threshold already."""


class MergedIntoItself(Invalid):
    """A candidate can't stand for itself."""


class MergeTargetDecided(Refusal):
    """The candidate to merge into no longer waits for a decision."""
