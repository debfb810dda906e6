"""The base of every event payload."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """One event type's payload. Readers ignore fields they don't know, so that fields may be added."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]
    """`groundswell.<noun>.<past tense>.v1`"""
    TOPIC: ClassVar[str]
    """The publisher's topic; records in it are keyed by the aggregate's id."""
