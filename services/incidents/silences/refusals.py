"""What the rules of silences refuse."""

from shared.refusals import Invalid, NotFound, Refusal


class SilenceUnknown(NotFound):
    """No silence of that id."""

    def __init__(self, silence_id: str) -> None:
        super().__init__(f"There is no silence {silence_id!r}; GET /v1/silences lists them.")


class SilenceOver(Refusal):
    """It has ended already."""


class TooManySilences(Refusal):
    """There are as many as are taken."""


class SilenceWithoutTime(Invalid):
    """It ends before it begins."""
