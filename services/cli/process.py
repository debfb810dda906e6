"""The commands that start or describe the process itself.

What they start is imported when they are called: asking a running Groundswell must not wait for the
statistics libraries of the services.
"""

import asyncio
import gc
from collections.abc import Coroutine
from contextlib import nullcontext
from enum import StrEnum
from secrets import token_hex, token_urlsafe
from typing import Annotated, Any

import typer
import uvloop

from services.cli.client import print_json
from services.cli.spoken import Said, settings_of, spoken
from services.terminal import console, field, table
from shared import logs
from shared.contracts import EVENTS
from shared.settings import Settings
from shared.version import VERSION


class Service(StrEnum):
    """A part of the system with a database of its own."""

    INCIDENTS = "incidents"
    FEEDBACK = "feedback"
    ROADMAP = "roadmap"
    GATEWAY = "gateway"


class Role(StrEnum):
    """What a process does for its service: answer requests, or work in the background."""

    API = "api"
    WORKER = "worker"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def run() -> None:
    """Run every service in this process, until SIGTERM or Ctrl-C."""
    from services.standalone import serve

    settings = checked_settings()
    logs.configure(settings.log_format, settings.log_level)
    finish(serve(settings))


def serve(
    service: Annotated[Service, typer.Argument(help="Which service.")],
    role: Annotated[Role, typer.Option(help="Answer requests, or work in the background.")],
) -> None:
    """Run one service in one role; any number of these make up a system.

    Needs PostgreSQL (GROUNDSWELL_DATABASE) and Kafka (GROUNDSWELL_BUS), brought up before with
    `groundswell migrate`. Runs until SIGTERM or Ctrl-C.
    """
    from services.serve import serve as serve_one

    settings = checked_settings(service)
    logs.configure(settings.log_format, settings.log_level)
    finish(serve_one(settings, service.value, role.value))


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when every station was reached; 1 if one was not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send twelve recorded weeks of alerts, and follow them to a verified fix.

    Uses the data folder GROUNDSWELL_DATA; called again, it goes on where it was.
    """
    from services.demo.run import run_demo

    settings = settings_of(Settings)
    logs.configure(settings.log_format, "WARNING")
    raise typer.Exit(finish(run_demo(settings, once=once, as_json=as_json)))


def migrate(
    services: Annotated[
        list[Service] | None, typer.Argument(help="Which services; all when none is named.")
    ] = None,
) -> None:
    """Bring the services' databases to their newest revision, make missing topics, and end.

    Safe to call again, from several machines at once, and beside running processes.
    """
    from services.engines import migrate as bring_up
    from services.standalone import locked

    settings = settings_of(Settings)

    async def work() -> None:
        # SQLite files have one process at a time; PostgreSQL holds its own lock.
        with locked(settings.data) if settings.database is None else nullcontext():
            for name in map(str, services or Service):
                await bring_up(settings, [name])
                typer.echo(f"{name} is at its newest revision")

    finish(work())


def secrets() -> None:
    """Print new values for the secrets that several processes share, as environment variables."""
    from services.gateway.access.domain import generate, text_of

    typer.echo(f"GROUNDSWELL_INTERNAL_SECRET={token_urlsafe(48)}")
    typer.echo(f"GROUNDSWELL_PEPPER={token_hex(32)}")
    typer.echo(f"GROUNDSWELL_ADMIN_KEY={text_of(generate())}")


def openapi() -> None:
    """Print the OpenAPI document of all services."""
    from services.standalone import document

    print_json(document())


def events(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the event catalogue: who publishes what, who listens. --json prints AsyncAPI 3."""
    from services import events as catalogue

    if as_json:
        print_json(catalogue.asyncapi(VERSION))
    elif markdown:
        typer.echo(catalogue.markdown(), nl=False)
    else:
        heard = catalogue.consumers()
        rows = [
            {"event": name, "topic": contract.TOPIC, "consumed by": heard[name]}
            for name, contract in EVENTS.items()
        ]
        columns = [(heading, field(heading)) for heading in ("event", "topic", "consumed by")]
        console().print(table(rows, columns))


def checked_settings(service: Service | None = None) -> Settings:
    """The settings of the process, once those of its parts have been read too: all or one service."""
    from services.gateway.settings import GatewaySettings
    from services.incidents.settings import IncidentsSettings
    from shared.bus.kafka_client import KafkaOptions
    from shared.upkeep import Upkeep

    settings = settings_of(Settings)
    settings_of(KafkaOptions)
    settings_of(Upkeep)
    if service in (None, Service.GATEWAY):
        settings_of(GatewaySettings)
    if service in (None, Service.INCIDENTS):
        settings_of(IncidentsSettings)
    return settings


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end on uvloop; what can't start here says so in a sentence, with exit status 1."""
    from services.listening import StartRefused

    with spoken(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work)
        except StartRefused as refused:
            raise Said(str(refused)) from refused
        finally:
            gc.freeze()  # or the interpreter spends a second on tidying up what ends anyway


COMMANDS = (run, serve, demo, migrate, secrets, openapi, events)
