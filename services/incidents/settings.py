"""Settings of the incidents service, from variables that begin with `GROUNDSWELL_INCIDENTS_`."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IncidentsSettings(BaseSettings):
    """Read once at the start; a bad value stops it with a clear sentence."""

    model_config = SettingsConfigDict(env_prefix="GROUNDSWELL_INCIDENTS_", extra="ignore")

    reopen_window_minutes: float = Field(
        default=10,
        ge=0,
        le=7 * 24 * 60,
        description="an alert that fires again within this time reopens its incident",
    )
    expiry_grace_seconds: float = Field(
        default=90,
        ge=0,
        le=3600,
        description="how long past its expiry, or our start, an alert may still be sent again;"
        " longer than the minute after which Prometheus does",
    )
    max_waiting_signals: int = Field(
        default=20_000, ge=1, le=1_000_000, description="beyond this, signals are refused"
    )

    @property
    def reopen_window(self) -> timedelta:
        return timedelta(minutes=self.reopen_window_minutes)

    @property
    def expiry_grace(self) -> timedelta:
        return timedelta(seconds=self.expiry_grace_seconds)
