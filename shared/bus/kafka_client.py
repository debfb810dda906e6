"""How a client of Kafka is set up, quietened and let go. It sends nothing and reads nothing."""

import asyncio
import logging
import ssl
import time
from pathlib import Path
from typing import Any, Literal, Self

import structlog
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

logger = structlog.get_logger(__name__)

LEAVING_SECONDS = 5.0
"""How long a stop waits for goodbyes; a broker that doesn't answer them learns by the session."""


class KafkaOptions(BaseSettings):
    """Settings of the Kafka bus, from variables that begin with `GROUNDSWELL_KAFKA_`."""

    model_config = SettingsConfigDict(env_prefix="GROUNDSWELL_KAFKA_", extra="ignore")

    partitions: int = Field(
        default=6, ge=1, le=1000, description="partitions of a topic that has to be made"
    )
    replication: int = Field(
        default=1, ge=1, le=32, description="copies of each partition; 3 where nothing may be lost"
    )
    retention_days: int = Field(
        default=30, ge=1, description="days that a topic we make keeps its events"
    )
    session_seconds: float = Field(
        default=10.0, gt=0, description="silence after which a member's partitions go to others"
    )
    heartbeat_seconds: float = Field(
        default=1.0, gt=0, description="how often a member says that it lives, and hears of changes"
    )
    send_seconds: float = Field(
        default=20.0, gt=0, description="how long one send may take before it fails"
    )
    group_instance_id: str | None = Field(
        default=None,
        description="a name of this process that outlives a restart: its partitions wait for it"
        " for a session instead of moving at once",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to talk to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="how to log in, with a SASL protocol"
    )
    sasl_username: str | None = Field(default=None, description="who logs in")
    sasl_password: SecretStr | None = Field(default=None, description="the password of that user")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the brokers' certificates"
    )
    certificate_file: Path | None = Field(
        default=None, description="PEM file of our own certificate, where brokers ask for one"
    )
    key_file: Path | None = Field(default=None, description="PEM file of that certificate's key")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        login = self.sasl_username and self.sasl_password
        if self.security_protocol.startswith("SASL") and not login:
            raise ValueError(
                f"{self.security_protocol} needs a user: set GROUNDSWELL_KAFKA_SASL_USERNAME and"
                " GROUNDSWELL_KAFKA_SASL_PASSWORD"
            )
        if self.heartbeat_seconds * 2 > self.session_seconds:
            raise ValueError(
                "a session must last two heartbeats or more: raise"
                " GROUNDSWELL_KAFKA_SESSION_SECONDS or lower GROUNDSWELL_KAFKA_HEARTBEAT_SECONDS"
            )
        return self


def connection(servers: str, options: KafkaOptions) -> dict[str, Any]:
    """The arguments that every client needs. Raises OSError when a certificate can't be read."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in servers.split(",")],
        "client_id": "groundswell",
        "security_protocol": options.security_protocol,
        "retry_backoff_ms": 100,
    }
    if options.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _tls(options)
    if options.security_protocol.startswith("SASL"):
        assert options.sasl_password is not None
        arguments |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.sasl_username,
            "sasl_plain_password": options.sasl_password.get_secret_value(),
        }
    return arguments


def _tls(options: KafkaOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file)
    if options.certificate_file:
        context.load_cert_chain(options.certificate_file, options.key_file)
    return context


class Leaving:
    """Clients on their way out. Saying goodbye to a broker that is away must hold nobody up."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, client: Any, connections: Any) -> asyncio.Task[None]:
        """Let a client go in the background, and its connections with it. The task never raises."""
        task = asyncio.create_task(self._say_goodbye(client, connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    async def _say_goodbye(client: Any, connections: Any) -> None:
        try:
            await client.stop()
        except Exception as error:
            logger.info("a Kafka client ended with an error", error=repr(error))
        finally:
            # A goodbye that is cut short would leave them open.
            await connections.close()

    async def finish(self) -> None:
        """Wait for those still leaving, though not for ever."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=LEAVING_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=LEAVING_SECONDS)


class Calm(logging.Filter):
    """Lets a message of one kind through once in a while: an outage repeats it many times a second."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind = f"{record.name}:{record.msg}"
        if now - self._last.get(kind, -self.every_seconds) < self.every_seconds:
            return False
        self._last[kind] = now
        return True


_CHATTY = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.cluster",
    "aiokafka.producer.sender",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
)
_calm = Calm()


def quieten() -> None:
    """Keep the client library's logs readable in an outage. The bus logs what matters itself."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    for name in _CHATTY:  # a filter doesn't reach the loggers below its own
        logging.getLogger(name).addFilter(_calm)
