"""The bodies about correlations: strict and bounded; an error names its place."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, model_validator

from services.incidents.correlations.store import StoredRule
from services.incidents.silences.bodies import MOST_MATCHERS, LabelName, SilenceMatcherBody
from shared.context import Context
from shared.http.fields import Body, Happened, Planned

LONGEST_SECONDS = 24 * 60 * 60
MOST_HOPS = 5

Seconds = Annotated[int, Field(strict=True, ge=1, le=LONGEST_SECONDS)]


class CorrelationRuleBody(Body):
    """Which incidents are one: the first of them is the parent, the others are its children."""

    matchers: Annotated[
        list[SilenceMatcherBody],
        Field(max_length=MOST_MATCHERS, description="which incidents it is about; left out: all"),
    ] = []
    by: Annotated[
        list[LabelName],
        Field(
            max_length=8,
            description="what members share: labels, and `service`, `product` as the catalog has them,"
            " or `alert`, one and the same; what lacks any of it is no member",
        ),
    ] = []
    dependencies: Annotated[
        bool,
        Field(
            strict=True,
            description="members are of one service, or of services of which one depends on the other",
        ),
    ] = False
    hops: Annotated[
        int, Field(strict=True, ge=1, le=MOST_HOPS, description="over how many steps at most")
    ] = 2
    within_seconds: Annotated[
        Seconds, Field(description="at most so long after the one that it is joined to")
    ]
    span_seconds: Annotated[Seconds, Field(description="at most so long after the first")]
    at_least: Annotated[int, Field(strict=True, ge=2, le=100, description="fewer are no group")] = 2
    enabled: Annotated[bool, Field(strict=True)] = True
    since: Annotated[
        Planned | None,
        Field(
            description="incidents that began before are left alone; left out: from now on, or as it was"
        ),
    ] = None

    @model_validator(mode="after")
    def _goes_by_something(self) -> "CorrelationRuleBody":
        if not self.by and not self.dependencies:
            raise ValueError(
                "would take together whatever began at about the same time; say what members share"
                " in `by`, or ask for `dependencies`"
            )
        if self.span_seconds < self.within_seconds:
            raise ValueError("`span_seconds` must be no less than `within_seconds`")
        return self

    def document(self) -> dict[str, Any]:
        """What is stored of it; `since` stands beside."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"since"})

    def stored(self, name: str, since: datetime, ctx: Context) -> StoredRule:
        """The rule, not stored yet."""
        return StoredRule(name, self.document(), since, 1, ctx.actor, ctx.now)


class CorrelationPreviewBody(Body):
    """A rule that needs not be stored, and how far to look back."""

    rule: CorrelationRuleBody
    since: Annotated[Happened | None, Field(description="left out: seven days ago")] = None
