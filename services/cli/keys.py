"""`groundswell keys …`: API keys."""

from typing import Annotated

import typer

from services.cli.client import api, print_json, segment
from services.terminal import console, field, moment, table
from shared.auth import SCOPES

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]

COLUMNS = [
    ("id", field("id")),
    ("name", field("name")),
    ("scopes", field("scopes")),
    ("created", moment("created_at")),
    ("expires", moment("expires_at")),
    ("revoked", moment("revoked_at")),
    ("last used", moment("last_used_at")),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help=f"One or more of: {', '.join(SCOPES)}.")],
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339; never when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is shown this once."""
    with api() as client:
        made = client.post("/v1/keys", {"name": name, "scopes": scope, "expires_at": expires_at})
    if as_json:
        print_json(made)
    else:
        typer.echo(made["key"])


@app.command("list")
def list_keys(as_json: AsJson = False, limit: int = 50) -> None:
    """List keys, the newest first, never with their secrets."""
    with api() as client:
        page = client.get("/v1/keys", limit=limit)
    if as_json:
        print_json(page)
    else:
        console().print(table(page["items"], COLUMNS))


@app.command()
def revoke(key_id: str, as_json: AsJson = False) -> None:
    """Revoke a key, for good. To rotate: create a second one first."""
    with api() as client:
        revoked = client.post(f"/v1/keys/{segment(key_id)}/revoke")
    if as_json:
        print_json(revoked)
    else:
        typer.echo(f"{revoked['name']} ({revoked['id']}) opens nothing any more.")
