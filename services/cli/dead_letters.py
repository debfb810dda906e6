"""`groundswell dead-letters …`: records that a service could not read."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from services.cli.client import Api, api, print_json, segment
from services.terminal import cell, console, field, minute, moment, table

app = typer.Typer(
    help="Records that a service could not read: list, show, replay; let a run of them pass.",
    no_args_is_help=True,
)


class Service(StrEnum):
    """Who listens to events."""

    incidents = "incidents"
    feedback = "feedback"
    roadmap = "roadmap"


Whose = Annotated[Service, typer.Argument(help="Whose dead letters.")]
Consumer = Annotated[str | None, typer.Option(help="Only those of this consumer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]


def _plain(foreign: Any) -> str:
    """What somebody sent, without what would steer the terminal that shows it."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in cell(foreign)
    )


COLUMNS = [
    ("set aside", moment("recorded_at")),
    ("consumer", field("consumer")),
    ("event", lambda row: _plain(row["event_type"])),
    ("reason", lambda row: _plain(row["reason"])),
    ("replayed", moment("replayed_at")),
    ("id", field("id")),
]


@app.command("list")
def list_letters(
    service: Whose,
    consumer: Consumer = None,
    every: Annotated[bool, typer.Option("--all", help="Those that were replayed, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List dead letters that wait for a replay, the newest first."""
    replayed = None if every else "false"
    with api() as client:
        page = client.get(_path(service), consumer=consumer, replayed=replayed, limit=limit)
    if as_json:
        print_json(page)
        return
    console().print(table(page["items"], COLUMNS))
    if page["next"]:
        typer.echo("There are more; --limit shows up to 200.", err=True)


@app.command()
def show(
    service: Whose,
    letter_id: Annotated[str, typer.Argument(help="Its id.")],
    as_json: AsJson = False,
) -> None:
    """Show a dead letter, whole: where it came from, why it can't be read, what it holds."""
    with api() as client:
        letter = client.get(f"{_path(service)}/{segment(letter_id)}")
    if as_json:
        print_json(letter)
        return
    for name in ("id", "consumer", "topic", "partition", "offset", "key", "event_id", "reason"):
        typer.echo(f"{name}: {_plain(letter[name])}")
    by = f" by {_plain(letter['replayed_by'])}" if letter["replayed_by"] else ""
    typer.echo(f"replayed: {minute(letter['replayed_at'])}{by}")
    for name, said in letter["headers"].items():
        typer.echo(f"header {_plain(name)}: {_plain(said)}")
    typer.echo(f"value ({letter['value_encoding']}):\n{_plain(letter['value'])}")
    typer.echo(f"traceback:\n{_plain(letter['traceback'])}")


@app.command()
def replay(
    service: Whose,
    letter_id: Annotated[
        str | None, typer.Argument(help="Its id; all that wait when left out.")
    ] = None,
    consumer: Consumer = None,
    as_json: AsJson = False,
) -> None:
    """Handle one dead letter, or all that wait, with the code that runs now. Safe to repeat."""
    with api() as client:
        if letter_id is not None:
            done = client.post(f"{_path(service)}/{segment(letter_id)}/replay")
            said = f"{done['id']} is replayed."
        else:
            done = _replay_all(client, service, consumer)
            said = f"{done['replayed']} replayed, {done['refused']} still can't be."
    if as_json:
        print_json(done)
    else:
        typer.echo(said)


def _replay_all(client: Api, service: Service, consumer: str | None) -> dict[str, int]:
    done = {"replayed": 0, "refused": 0}
    after: str | None = None
    while True:
        body: dict[str, Any] = {"consumer": consumer, "after": after}
        answer = client.post(f"{_path(service)}/replay", body)
        done = {name: count + answer[name] for name, count in done.items()}
        after = answer["next"]
        if after is None:
            return done


@app.command()
def resume(service: Whose, consumer: Consumer = None, as_json: AsJson = False) -> None:
    """Let a run of dead letters pass: a stopped consumer sets them aside unread, and goes on."""
    with api() as client:
        passed = client.post(f"{_path(service)}/resume", {"consumer": consumer})
    if as_json:
        print_json(passed)
        return
    if not passed["runs"]:
        typer.echo("There is no run of dead letters; nothing was changed.")
    for run in passed["runs"]:
        went = "stopped; it goes on within half a minute" if run["stopped"] else "going on"
        typer.echo(f"{run['consumer']}: {run['length']} in a row let pass, {went}.")


def _path(service: Service) -> str:
    return f"/v1/dead-letters/{service.value}"
