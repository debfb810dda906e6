"""`groundswell replay`: brings an incident log in from a file. What it does is in `services/replay/`."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import httpx
import typer

from services.cli.client import Api, api
from services.cli.spoken import Said, settings_of
from services.terminal import console, field, table
from shared.settings import Settings

if TYPE_CHECKING:
    from services.replay.command import ReplayResult
    from services.replay.mapping import ColumnMapping

TIMEOUT_SECONDS = 60.0

COUNTS = ("incidents", "opened", "resolved", "reopened", "resolutions", "reopenings", "seconds")
CANDIDATES = [(name, field(name)) for name in ("score", "title", "id")]


def replay(
    file: Annotated[Path, typer.Argument(help="A CSV, or a zip with one.")],
    mapping: Annotated[
        str | None,
        typer.Option(help="What the columns mean: `servicenow`, or a YAML or JSON file."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="One column; give it again for more."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Who the incidents are from.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Where to note the progress; else in the data folder.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(help="Only what had happened by then (UTC); later, go on without it."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait at most for the candidates; 0: don't.")
    ] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="End on one line of JSON.")] = False,
) -> None:
    """Bring an incident log in through the API, at its own event times.

    Interrupted, it goes on where it was; repeated, it changes nothing. A ServiceNow log is understood
    as it is. Another: --map external_ref=Number --map at=Updated --map state=Status --map title=Title
    --map severity=Priority --map service=Component --map label.team=Team --map state.resolved=Done
    """
    from services.replay.mapping import UnusableMapping
    from services.replay.sending import NotTaken
    from services.replay.settle import CandidatesUnseen
    from services.replay.source import Unreadable

    noted = state or _state(file)
    with api() as known:
        try:
            meant = _mapping(file, mapping, columns or (), source)
            options = Options(noted, until and until.replace(tzinfo=UTC), wait)
            result = asyncio.run(_bring_in(known, file, meant, options))
        except (UnusableMapping, Unreadable, NotTaken, CandidatesUnseen) as refusal:
            raise Said(str(refusal)) from refusal
        except OSError as error:
            raise Said(f"The progress can't be noted in {noted}: {error.strerror}.") from error
    if as_json:
        typer.echo(json.dumps(asdict(result), ensure_ascii=False))
    else:
        _show(result)


class Options(NamedTuple):
    """How to go about it."""

    state: Path | None
    until: datetime | None
    wait_seconds: float


async def _bring_in(
    known: Api, file: Path, mapping: "ColumnMapping", options: Options
) -> "ReplayResult":
    from services.replay.command import replay as bring_in
    from services.replay.shown import progress_on_stderr

    async with httpx.AsyncClient(
        base_url=known.http.base_url,
        headers=known.http.headers,
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    ) as client:
        with progress_on_stderr() as progress:  # the bar ends before the result is shown
            return await bring_in(client, file, mapping, progress=progress, **options._asdict())


def _mapping(
    file: Path, named: str | None, options: Sequence[str], source: str | None
) -> "ColumnMapping":
    """The mapping that was named, or fits; with the options on top of it. May refuse."""
    from services.replay.mapping import BUILT_IN, for_columns, read_mapping, with_options
    from services.replay.source import header_of

    base: ColumnMapping | None = None
    if named is not None and named in BUILT_IN:
        base = BUILT_IN[named]
    elif named is not None:
        try:
            base = read_mapping(Path(named).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Said(f"The mapping {named} can't be read: {error}.") from error
    elif not any(option.startswith("external_ref=") for option in options):
        base = for_columns(header_of(file))
    if source is not None:
        options = [*options, f"source={source}"]
    return with_options(base, options) if options or base is None else base


def _state(file: Path) -> Path | None:
    """In the data folder, when it is on this machine."""
    data = settings_of(Settings).data
    return data / f"replay-{file.stem}.json" if data.is_dir() else None


def _show(result: "ReplayResult") -> None:
    told = asdict(result)
    columns = [(name, field(name)) for name in COUNTS]
    console().print(table([told], columns))
    if result.top_candidates:
        console().print(table(told["top_candidates"], CANDIDATES, title="\ntop candidates"))


COMMANDS = (replay,)
