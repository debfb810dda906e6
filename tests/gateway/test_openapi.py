"""One document for all services: merged, scoped, served, committed, and readable offline."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from services.gateway.openapi import DocumentsConflict, ScopeMissing, merged, operations
from services.standalone import document
from shared.context import Context
from shared.database import Database
from shared.http.context import needs
from shared.http.edge import create_service
from shared.http.fields import View
from tests.gateway.conftest import Front, front_of

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


class Thing(View):
    one: int


def service(router: APIRouter) -> FastAPI:
    """A service that is only documented, never called: its database is never opened."""
    return create_service("fake", "Fake", Database("sqlite:///never-opened"), [router])


def scoped(path: str, model: type[View], name: str = "read") -> FastAPI:
    router = APIRouter()

    async def read(ctx: Annotated[Context, needs("admin")]) -> Any:
        raise AssertionError("never called")

    router.add_api_route(path, read, response_model=model, name=name)
    return service(router)


def test_an_operation_without_a_scope_stops_the_start() -> None:
    router = APIRouter()

    @router.get("/v1/open")
    async def open_to_all() -> Thing:
        raise AssertionError("never called")

    with pytest.raises(ScopeMissing, match="GET /v1/open"):
        merged({"fake": service(router).openapi()})


async def test_the_gateway_refuses_to_start_over_an_unscoped_service(
    front: Front, tmp_path: Path
) -> None:
    router = APIRouter()

    @router.delete("/v1/everything")
    async def delete_everything() -> Thing:
        raise AssertionError("never called")

    with pytest.raises(ScopeMissing, match="DELETE /v1/everything"):
        await front_of({"fake": service(router)}, front.db, tmp_path, front.keyring.clock)  # pyright: ignore[reportArgumentType]


def test_two_schemas_of_one_name_stop_the_start() -> None:
    class Other(View):
        two: str

    Other.__name__ = "Thing"
    documents = {
        "a": scoped("/v1/a", Thing).openapi(),
        "b": scoped("/v1/b", type("Thing", (Other,), {})).openapi(),
    }
    with pytest.raises(DocumentsConflict, match="Thing"):
        merged(documents)


def test_two_operations_of_one_id_stop_the_start() -> None:
    first = scoped("/v1/a", Thing).openapi()
    second = json.loads(json.dumps(first).replace("/v1/a", "/v1/b"))
    with pytest.raises(DocumentsConflict, match="operations"):
        merged({"a": first, "b": second})


def test_merging_leaves_the_services_own_documents_alone() -> None:
    app = scoped("/v1/a", Thing)
    before = json.dumps(app.openapi())
    merged({"a": app.openapi()})
    assert json.dumps(app.openapi()) == before


def test_errors_are_documented_as_problems_and_nothing_else() -> None:
    for name, operation in operations(document()):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    whole = document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(whole)):
        found: Any = whole
        for part in reference.split("/"):
            found = found[part]


def test_the_committed_document_is_the_one_that_is_served() -> None:
    again = "regenerate it with: .venv/bin/groundswell openapi > docs/openapi.json"
    assert COMMITTED.exists(), again
    assert json.loads(COMMITTED.read_text()) == document(), again


async def test_the_document_and_its_pages_need_no_key_and_no_internet(front: Front) -> None:
    async with front.client(None) as client:
        served = await client.get("/openapi.json")
        assert "/v1/keys" in served.json()["paths"]
        for path in ("/docs", "/redoc"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', page.text) == []
            for file in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
                assert (await client.get(file)).status_code == 200, file


async def test_the_pages_files_lead_nowhere_else(front: Front) -> None:
    async with front.client(None) as client:
        for path in ("/docs/files/../core.py", "/docs/files/%2e%2e/core.py", "/docs/nothing"):
            answer: httpx.Response = await client.get(path)
            assert answer.status_code in (401, 404), path
