"""What a theme is, and when a person may merge or split one. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.refusals import Invalid, NotFound, Refusal

UNASSIGNED = "unassigned"
"""The product, and the service, of what the catalog does not know."""

State = Literal["quiet", "escalated", "merged"]


class ThemeUnknown(NotFound):
    """No such theme."""


class ThemeAlreadyMerged(Refusal):
    """A merged theme is history; whoever wants to change it means the theme it went into."""


class ThemesOfDifferentProducts(Refusal):
    """A theme is one recurring pain of one product."""


class ThemeMergedIntoItself(Invalid):
    """The source and the target are one theme."""


class EvidenceNotOfTheme(Invalid):
    """A split names evidence that the theme does not have."""


class SplitLeavesNothing(Invalid):
    """A split has to leave evidence on both sides."""


@dataclass(frozen=True, slots=True)
class Theme:
    """One recurring pain of one product.

    `state` and `rose_at` follow from the ledger, the policies and the horizon alone. `told` and
    `announced` (detector → when it last rose) are what was published about them, and `told_as_of` is
    as of when its numbers last were: None while nobody needs to know of it; `review_at` is the event time at
    which the state may change though nothing comes in; `dismissed_at` is when its candidate was
    last declined; `title_given` says that a person named it.
    """

    id: str
    product: str
    service: str
    title: str
    title_given: bool
    template: str
    alert_name: str | None
    created_at: datetime
    first_at: datetime
    last_at: datetime
    evidence_count: int = 0
    state: State = "quiet"
    rose_at: datetime | None = None
    told: State = "quiet"
    announced: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    told_as_of: datetime | None = None
    dismissed_at: datetime | None = None
    merged_into: str | None = None
    review_at: datetime | None = None
    version: int = 0


# state      | may be merged     | may be split                  | takes new evidence
# quiet      | yes               | yes, if something stays behind | yes
# escalated  | yes               | yes, if something stays behind | yes
# merged     | ThemeAlreadyMerged | ThemeAlreadyMerged            | no: its target does
def check_merge(theme: Theme, into: Theme) -> None:
    """Raises the refusal when `theme` may not become part of `into`.

    Products must be the same, unless nobody knew the product of what is merged away.
    """
    if theme.id == into.id:
        raise ThemeMergedIntoItself("A theme can't be merged into itself; name another as `into`.")
    check_live(theme)
    check_live(into)
    if theme.product not in {into.product, UNASSIGNED}:
        raise ThemesOfDifferentProducts(
            f"Theme {theme.id} is of product {theme.product!r}, theme {into.id} of"
            f" {into.product!r}; assign its incidents to a service of the right product first."
        )


def check_live(theme: Theme) -> None:
    """Raises ThemeAlreadyMerged for a theme that was merged away."""
    if theme.state == "merged":
        raise ThemeAlreadyMerged(
            f"Theme {theme.id} was merged into {theme.merged_into}; use that one instead."
        )


def check_split(theme: Theme, has: Collection[str], wanted: Collection[str]) -> None:
    """Raises the refusal when the evidence `wanted` can't leave the theme, which `has` this much."""
    check_live(theme)
    foreign = sorted(set(wanted) - set(has))
    if foreign:
        raise EvidenceNotOfTheme(
            f"{foreign[0]!r} is not evidence of theme {theme.id};"
            f" take ids from GET /v1/themes/{theme.id}/evidence."
        )
    if len(set(wanted)) == len(set(has)):
        raise SplitLeavesNothing(
            f"This would leave theme {theme.id} without evidence; leave at least one row behind."
        )
