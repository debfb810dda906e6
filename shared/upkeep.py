"""Settings of the plumbing: how long it keeps what it has dealt with, and when a consumer stops."""

from datetime import timedelta

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.bus.kafka_client import KafkaOptions
from shared.runs import LIMIT

LEAST_INBOX_DAYS = 14


class Upkeep(BaseSettings):
    """Read once at the start, from variables that begin with `GROUNDSWELL_`."""

    model_config = SettingsConfigDict(
        env_prefix="GROUNDSWELL_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    inbox_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="how long it is remembered which events were handled; longer than any topic"
        " keeps its events (default: twice as long, and 14 at least)",
    )
    idempotency_days: int = Field(
        default=7, ge=1, le=3650, description="how long an Idempotency-Key gets the first answer"
    )
    dead_letter_days: int = Field(
        default=90, ge=1, le=3650, description="how long a dead letter is kept after its replay"
    )
    dead_letters_in_a_row: int = Field(
        default=LIMIT,
        ge=1,
        le=100_000,
        description="unreadable events in a row, after which a consumer stops",
    )

    @field_validator("inbox_days")
    @classmethod
    def _outlives_topics(cls, stated: int | None) -> int | None:
        kept = KafkaOptions().retention_days
        if stated is not None and stated <= kept:
            raise ValueError(
                f"a topic keeps its events for {kept} days (GROUNDSWELL_KAFKA_RETENTION_DAYS), and"
                f" one that came again after {stated} would count twice; make it longer"
            )
        return stated

    @property
    def inbox_kept(self) -> timedelta:
        days = self.inbox_days or max(LEAST_INBOX_DAYS, 2 * KafkaOptions().retention_days)
        return timedelta(days=days)

    @property
    def idempotency_kept(self) -> timedelta:
        return timedelta(days=self.idempotency_days)

    @property
    def dead_letters_kept(self) -> timedelta:
        return timedelta(days=self.dead_letter_days)
