"""The commands that start or describe the process itself.

What they start is imported when they are called: asking a running Groundswell must not wait for the
statistics libraries of the services.
"""

import asyncio
from collections.abc import Coroutine
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

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def run() -> None:
    """Run every service in this process, until SIGTERM or Ctrl-C."""
    from services.standalone import serve

    settings = settings_of(Settings)
    logs.configure(settings.log_format, settings.log_level)
    finish(serve(settings))


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


def migrate() -> None:
    """Bring every service's database to its newest revision, and end."""
    from services.standalone import locked, migrated

    settings = settings_of(Settings)

    async def work() -> None:
        with locked(settings.data):
            for name, db in (await migrated(settings)).items():
                await db.close()
                typer.echo(f"{name} is at its newest revision")

    finish(work())


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


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end on uvloop; what can't start here says so in a sentence, with exit status 1."""
    from services.standalone import StartRefused

    with spoken(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work)
        except StartRefused as refused:
            raise Said(str(refused)) from refused


COMMANDS = (run, demo, migrate, openapi, events)
