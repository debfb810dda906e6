"""`groundswell catalog …`: the services that signals come from."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import api, print_json
from services.terminal import console, field, table

app = typer.Typer(help="The catalog of services.", no_args_is_help=True)

COLUMNS = [
    ("service", field("name")),
    ("product", field("product")),
    ("owner", field("owner")),
    ("tier", field("tier")),
]


@app.callback()
def catalog() -> None:
    """The catalog of services."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer.")] = False,
) -> None:
    """Import a Backstage catalog-info.yaml: every Component becomes a service."""
    with api() as client:
        entered = client.send("/v1/catalog/import", file.read_bytes(), "application/yaml")
    if as_json:
        print_json(entered)
    else:
        console().print(table(entered["services"], COLUMNS))
