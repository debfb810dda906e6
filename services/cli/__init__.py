"""`groundswell …`: starts the process, and asks a running one over HTTP. It reaches into no database.

What reports to people reports to programs too: `--json` prints the API's own answer.
"""

import typer

from services.cli import ask, catalog, dead_letters, keys, process, replay

app = typer.Typer(
    help="Turns what operations live through into roadmap candidates with evidence and a score.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (process, replay, ask):
    for command in part.COMMANDS:
        app.command()(command)
app.add_typer(keys.app, name="keys")
app.add_typer(catalog.app, name="catalog")
app.add_typer(dead_letters.app, name="dead-letters")

__all__ = ["app"]
