"""Settings of the process, from the environment. A bad value stops the start with a clear sentence."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.database import sqlite_url


class Settings(BaseSettings):
    """Read once at the start, from variables that begin with `GROUNDSWELL_`."""

    model_config = SettingsConfigDict(env_prefix="GROUNDSWELL_", extra="ignore")

    data: Path = Field(default=Path("data"), description="folder that holds all state")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on")
    log_format: Literal["console", "json"] = Field(default="console", description="how logs look")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def database_url(self, service: str) -> str:
        """Where a service keeps its tables."""
        return sqlite_url(self.data.absolute(), f"{service}.sqlite3")

    def bus_url(self) -> str:
        """Where the embedded bus keeps its log."""
        return sqlite_url(self.data.absolute(), "bus.sqlite3")
