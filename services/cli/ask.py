"""The commands that ask a running Groundswell what it knows."""

from collections.abc import Sequence
from typing import Annotated

import typer

from services.cli.client import api, print_json, segment
from services.terminal import Column, console, field, moment, table

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at most.")]

INCIDENTS: Sequence[Column] = (
    ("opened", moment("opened_at")),
    ("severity", field("severity")),
    ("state", field("state")),
    ("service", field("service")),
    ("title", field("title")),
    ("id", field("id")),
)
THEMES: Sequence[Column] = (
    ("state", field("state")),
    ("product", field("product")),
    ("service", field("service")),
    ("title", field("title")),
    ("id", field("id")),
)
CANDIDATES: Sequence[Column] = (
    ("score", field("score")),
    ("state", field("state")),
    ("product", field("product")),
    ("title", field("title")),
    ("id", field("id")),
)
ITEMS: Sequence[Column] = (
    ("horizon", field("horizon")),
    ("quarter", field("quarter")),
    ("state", field("state")),
    ("product", field("product")),
    ("title", field("title")),
    ("id", field("id")),
)
STATIONS: Sequence[Column] = (
    ("at", moment("at")),
    ("station", field("station")),
    ("what", field("text")),
)


def incidents(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List incidents, the newest first."""
    _listed("/v1/incidents", INCIDENTS, limit, as_json)


def themes(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List themes: recurring pains, each of one product."""
    _listed("/v1/themes", THEMES, limit, as_json)


def candidates(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List roadmap candidates, the highest score first."""
    _listed("/v1/candidates", CANDIDATES, limit, as_json)


def items(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List roadmap items."""
    _listed("/v1/items", ITEMS, limit, as_json)


def trace(
    id: Annotated[str, typer.Argument(help="Of a signal, an incident, a theme, feedback, …")],
    as_json: AsJson = False,
) -> None:
    """Follow one incident from its signals to the verdict on its fix."""
    with api() as client:
        road = client.get(f"/v1/trace/{segment(id)}")
    if as_json:
        print_json(road)
    else:
        console().print(table(road["stations"], STATIONS))


def _listed(path: str, columns: Sequence[Column], limit: int, as_json: bool) -> None:
    with api() as client:
        page = client.get(path, limit=limit)
    if as_json:
        print_json(page)
        return
    console().print(table(page["items"], columns))
    if page["next"]:
        typer.echo(f"There are more; --limit shows up to 200, {path} all of them.", err=True)


COMMANDS = (incidents, themes, candidates, items, trace)
