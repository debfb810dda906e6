"""The command line's client of a running Groundswell."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import typer
from pydantic import Field, SecretStr

from services.cli.spoken import Said, settings_of, spoken
from services.gateway.access.first_start import ADMIN_KEY_FILE
from shared.settings import Settings

TIMEOUT_SECONDS = 30.0


class ClientSettings(Settings):
    """Where Groundswell answers, and with which key to ask."""

    url: str | None = Field(default=None, description="default: this machine, GROUNDSWELL_PORT")
    key: SecretStr | None = Field(default=None, description="default: admin.key of the data folder")


class Api:
    """Asks, and raises Said with the problem's own sentence when the answer is an error."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str, **params: str | int | None) -> Any:
        asked = {name: value for name, value in params.items() if value is not None}
        return self._answer(self.http.get(path, params=asked))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._answer(self.http.post(path, json=body))

    def send(self, path: str, content: bytes, content_type: str) -> Any:
        headers = {"Content-Type": content_type}
        return self._answer(self.http.post(path, content=content, headers=headers))

    @staticmethod
    def _answer(answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        raise Said(sentence_of(answer))


def sentence_of(answer: httpx.Response) -> str:
    """What an error answer tells: the problem's detail, or its status when it is no problem document."""
    try:
        detail = answer.json()["detail"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
        return f"{answer.request.url} answered {answer.status_code}; is Groundswell there?"
    return str(detail)


@contextmanager
def api() -> Generator[Api]:
    """A client for one command; whatever goes wrong with it becomes a sentence."""
    settings = settings_of(ClientSettings)
    url = settings.url or f"http://127.0.0.1:{settings.port}"
    with spoken():
        key = settings.key.get_secret_value() if settings.key else _key_file(settings)
        try:
            http = httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=TIMEOUT_SECONDS,
                trust_env=False,
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as wrong:
            raise Said(f"GROUNDSWELL_URL or GROUNDSWELL_KEY is not usable: {wrong}.") from wrong
        with http:
            yield Api(http)


def _key_file(settings: Settings) -> str:
    path = settings.data / ADMIN_KEY_FILE
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Said(
            f"No API key: {path.absolute()} can't be read ({error.strerror}). Set GROUNDSWELL_KEY,"
            " or GROUNDSWELL_DATA to the data folder of the running Groundswell."
        ) from error


def segment(text: str) -> str:
    """What a person typed, as one segment of a path."""
    return quote(text, safe="")


def print_json(answer: Any) -> None:
    """The answer as JSON on stdout, for programs."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
