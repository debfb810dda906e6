"""What the rules of correlations refuse."""

from shared.refusals import NotFound, Refusal


class CorrelationRuleUnknown(NotFound):
    """No rule of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no rule {name!r}; GET /v1/correlations lists them.")


class TooManyCorrelationRules(Refusal):
    """There are as many as are taken."""
