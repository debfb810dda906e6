"""Settings of the process, from the environment. A bad value stops the start with a clear sentence.

Two of them choose the engines: GROUNDSWELL_DATABASE and GROUNDSWELL_BUS. Unset, everything lies in the
data folder. What holds a secret is a SecretStr, and is never shown.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from shared.database import sqlite_url

POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})
KAFKA = "kafka://"
LONG_ENOUGH = 32
"""Characters of a secret that both sides of the inner hop know."""


class Settings(BaseSettings):
    """Read once at the start, from variables that begin with `GROUNDSWELL_`."""

    model_config = SettingsConfigDict(
        env_prefix="GROUNDSWELL_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    data: Path = Field(default=Path("data"), description="folder that holds all state")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on")
    log_format: Literal["console", "json"] = Field(default="console", description="how logs look")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    database: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host:port/name; unset: SQLite in the data folder",
    )
    bus: str | None = Field(
        default=None, description="kafka://host:9092,host2:9092; unset: a log in the data folder"
    )
    internal_secret: SecretStr | None = Field(
        default=None,
        min_length=LONG_ENOUGH,
        description="signs and verifies who calls, between the gateway and the services",
    )
    internal_secret_also: SecretStr | None = Field(
        default=None,
        min_length=LONG_ENOUGH,
        description="a second secret that services accept, while the first is being replaced",
    )
    drain_pause_seconds: float = Field(
        default=0,
        ge=0,
        le=60,
        description="told to stop: how long to answer on, unready, before connections are refused",
    )
    most_requests: int = Field(
        default=256, ge=1, le=10_000, description="requests at once; more are refused at once"
    )
    most_connections: int = Field(
        default=2_000, ge=1, le=60_000, description="connections at once; more are refused"
    )

    @field_validator("database")
    @classmethod
    def _is_postgresql(cls, stated: SecretStr | None) -> SecretStr | None:
        if stated is not None:
            _postgresql(stated)
        return stated

    @field_validator("bus")
    @classmethod
    def _is_kafka(cls, stated: str | None) -> str | None:
        if stated is not None:
            servers = stated.removeprefix(KAFKA)
            if servers == stated or not all(map(_is_server, servers.split(","))):
                raise ValueError("write it as kafka://host:9092,host2:9092")
        return stated

    def database_url(self, service: str) -> str:
        """Where a service keeps its tables: a file of its own, or the schema of its name."""
        if self.database is None:
            return sqlite_url(self.data.absolute(), f"{service}.sqlite3")
        url = _postgresql(self.database).update_query_dict({"schema": service})
        return url.render_as_string(hide_password=False)

    def bus_url(self) -> str:
        """Where the embedded bus keeps its log."""
        return sqlite_url(self.data.absolute(), "bus.sqlite3")

    def kafka_servers(self) -> str | None:
        """The brokers as `host:9092,host2:9092`; None with the embedded bus."""
        return None if self.bus is None else self.bus.removeprefix(KAFKA)

    def internal_secrets(self) -> tuple[str, ...]:
        """What a service accepts; the first is what the gateway signs with."""
        stated = (self.internal_secret, self.internal_secret_also)
        return tuple(one.get_secret_value() for one in stated if one is not None)


def _postgresql(stated: SecretStr) -> URL:
    try:
        url = make_url(stated.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in POSTGRESQL or not url.host or not url.database:
        raise ValueError("write it as postgresql://user:password@host:5432/name")
    return url.set(drivername="postgresql+asyncpg")


def _is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
