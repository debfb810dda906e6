"""The bodies about silences: strict and bounded; an error names its place."""

from datetime import datetime, time, timedelta
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from services.incidents.silences.domain import (
    LONGEST_WINDOW,
    Day,
    Recurrence,
    Silence,
    zone,
)
from services.incidents.silences.matching import LONGEST, Matcher, Operator, compiled, matches_empty
from services.incidents.silences.refusals import SilenceWithoutTime
from shared.clock import rfc3339
from shared.context import Context
from shared.http.fields import Body, Happened, Line, Planned
from shared.ids import new_id

MOST_MATCHERS = 32


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain a NUL character; remove it")
    return text


def _known_zone(name: str) -> str:
    zone(name)
    return name


LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_nul)]
Value = Annotated[
    str, StringConstraints(max_length=LONGEST, strip_whitespace=False), AfterValidator(_no_nul)
]
Timezone = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$"),
    AfterValidator(_known_zone),
]


class SilenceMatcherBody(Body):
    """One condition on one label. A label that isn't there is the empty text."""

    label: Annotated[
        LabelName,
        Field(
            description="of the sender's labels; where it has none of that name, also `source`,"
            " `service`, `severity` and `alertname`, in our words"
        ),
    ]
    op: Operator = "="
    value: Annotated[
        Value, Field(description="for `=~` and `!~` a regular expression of RE2, for all of it")
    ]

    @model_validator(mode="after")
    def _readable(self) -> "SilenceMatcherBody":
        compiled([self.matcher()])
        return self

    def matcher(self) -> Matcher:
        return Matcher(self.label, self.op, self.value)


class SilenceRecurrenceBody(Body):
    """Windows in which it holds, between its beginning and its end."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    begins: Annotated[
        str,
        StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        Field(alias="from", description="time of day there", examples=["02:00"]),
    ]
    minutes: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=LONGEST_WINDOW // timedelta(minutes=1),
            description="of real time, also over a change of clocks",
        ),
    ]
    timezone: Annotated[Timezone, Field(examples=["Europe/Vienna"])] = "UTC"

    def recurrence(self) -> Recurrence:
        return Recurrence(
            days=tuple(dict.fromkeys(self.days)),
            begins=time.fromisoformat(self.begins),
            lasts=timedelta(minutes=self.minutes),
            timezone=self.timezone,
        )


class SilenceTermsBody(Body):
    """What is to be silenced, and when."""

    matchers: Annotated[list[SilenceMatcherBody], Field(min_length=1, max_length=MOST_MATCHERS)]
    starts_at: Annotated[Planned | None, Field(description="left out: now")] = None
    ends_at: Planned
    recurrence: SilenceRecurrenceBody | None = None

    @model_validator(mode="after")
    def _not_everything(self) -> "SilenceTermsBody":
        if all(matches_empty(one.matcher()) for one in self.matchers):
            raise ValueError(
                "would silence everything that lacks these labels; add a matcher that does not"
                " match the empty text"
            )
        return self

    def silence(self, comment: str, starts_at: datetime, ctx: Context) -> Silence:
        """Raises SilenceWithoutTime."""
        if self.ends_at <= starts_at:
            raise SilenceWithoutTime(
                f"It ends no later than it starts, at {rfc3339(starts_at)}; give a later `ends_at`."
            )
        return Silence(
            id=new_id("sil"),
            comment=comment,
            matchers=tuple(one.matcher() for one in self.matchers),
            starts_at=starts_at,
            ends_at=self.ends_at,
            recurrence=self.recurrence.recurrence() if self.recurrence else None,
            created_by=ctx.actor,
            created_at=ctx.now,
        )


class SilenceBody(SilenceTermsBody):
    """A silence, and why there is one."""

    comment: Line


class SilencePreviewBody(SilenceTermsBody):
    """A silence that needs not be made, and how far to look back."""

    since: Annotated[Happened | None, Field(description="left out: seven days ago")] = None
