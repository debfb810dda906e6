"""How the command line says no: one sentence on stderr and an exit status, never a stack trace."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import httpx
import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

Kind = TypeVar("Kind", bound=BaseSettings)

FAILED = 1
MISUSED = 2


class Said(Exception):
    """Something went wrong, and this sentence says what to do."""


@contextmanager
def spoken() -> Generator[None]:
    """Turn what people can mend into a sentence and exit status 1. Faults of ours stay faults."""
    try:
        yield
    except Said as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(FAILED) from refusal
    except httpx.ConnectError as error:
        url = error.request.url.copy_with(path="/", query=None)
        typer.echo(
            f"Nothing answers at {url}; start it with `groundswell run`, or set GROUNDSWELL_URL.",
            err=True,
        )
        raise typer.Exit(FAILED) from error
    except httpx.TransportError as error:
        typer.echo(f"The connection to {error.request.url} broke: {error}; try again.", err=True)
        raise typer.Exit(FAILED) from error


def settings_of(kind: type[Kind]) -> Kind:
    """The environment's settings, or exit status 2 with a sentence for each bad value."""
    try:
        return kind()
    except ValidationError as wrong:
        for error in wrong.errors():
            prefix = kind.model_config.get("env_prefix", "")
            name = prefix + "_".join(str(part) for part in error["loc"]).upper()
            typer.echo(f"{name or 'A setting'} is not usable: {error['msg']}.", err=True)
        raise typer.Exit(MISUSED) from wrong
