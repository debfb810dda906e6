"""Field types with bounds, for request bodies and queries: every input has a limit."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.clock import EARLIEST, SKEW, utc_now


class Body(BaseModel):
    """A request body: unknown fields are refused, so that a typo is not silently ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain a NUL character; remove it")
    return text


def _happened(moment: datetime) -> datetime:
    if moment < EARLIEST:
        raise ValueError(f"is before {EARLIEST.year}; send when it happened, as RFC 3339")
    latest = utc_now() + SKEW
    if moment > latest:
        raise ValueError(
            f"is in the future; at most {int(SKEW.total_seconds() // 60)} minutes ahead of our clock is taken"
        )
    return moment.astimezone(UTC)


def _planned(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= datetime(2100, 1, 1, tzinfo=UTC):
        raise ValueError("must lie between 2000 and 2100")
    return moment.astimezone(UTC)


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
"""A short name: of a service, a product, a person."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_no_nul)]
"""One line: a title, a reason."""

Prose = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_no_nul)]
"""Text of any kind."""

Happened = Annotated[AwareDatetime, AfterValidator(_happened)]
"""An event time: RFC 3339 with an offset, not before 2000, not further ahead than clocks may differ."""

Planned = Annotated[AwareDatetime, AfterValidator(_planned)]
"""A time that may lie in the future."""

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
"""A whole number in a body; neither `true` nor `"3"` is one."""

Amount = Annotated[float, Field(strict=True, ge=0, le=1e12, allow_inf_nan=False)]
"""A number in a body, whole or not."""

JsonObject = dict[str, Any]
