"""Requests made up from the OpenAPI document, for every operation of it, against all of the system.

Whatever comes in, the answer is one that the document describes, and never a fault of ours.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, checks
from schemathesis.core.transport import Response
from schemathesis.generation.meta import TestPhase
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks as openapi

from services.standalone import document
from tests.whole.system import OTHERS, System, check_refusal
from tests.whole.things import Things, made_real

EXAMPLES = 15
"""Made-up requests of each operation, besides those at the edges of its parameters."""

CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]
METHOD_NOT_ALLOWED = 405
SAYS_TYPE = frozenset({"content-type"})
SHARE_CARRIED_OUT = 0.9
"""Of all operations; a verdict takes months, and a YAML file or a split isn't made up by chance.
Each service's own tests carry those out."""

schema = schemathesis.openapi.from_dict(document())
schema.config.phases.coverage.enabled = True
schema.config.generation.update(with_security_parameters=False)
answered: dict[str, Counter[int]] = {}


@pytest.fixture(scope="module")
def session(system: System) -> Iterator[requests.Session]:
    """One connection, and no proxy from the environment."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {system.admin_key}"
        yield session


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # by the time it would shrink, the system has moved on
    suppress_health_check=list(HealthCheck),
)
def test_an_operation_answers_as_the_document_says(
    case: Case, system: System, things: Things, session: requests.Session
) -> None:
    if (
        at_the_edges(case)
        and crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 3
    ):
        return  # every third: all of them take minutes
    made_real(case, things)
    answer = case.call(base_url=system.url, session=session)
    answered.setdefault(case.operation.label, Counter())[answer.status_code] += 1
    shown = (
        f"{answer.request.method} {answer.request.url} → {answer.status_code} {answer.text[:300]}"
    )
    assert answer.status_code < 500, shown
    assert answer.status_code != 401, f"{shown}: the key was lost, and with it the rest of the run"
    if answer.status_code >= 400:
        check_refusal(httpx_of(answer))
    if answer.status_code != METHOD_NOT_ALLOWED and not (
        answer.status_code >= 400 and case.path.startswith(OTHERS)
    ):
        case.validate_response(answer, checks=CHECKS)


def at_the_edges(case: Case) -> bool:
    return case.meta is not None and case.meta.phase.name == TestPhase.COVERAGE


def httpx_of(answer: Response) -> httpx.Response:
    """The same answer as the other client has it."""
    request = httpx.Request(answer.request.method or "", answer.request.url or "")
    headers = {name: values[0] for name, values in answer.headers.items() if name in SAYS_TYPE}
    return httpx.Response(
        answer.status_code, content=answer.content, headers=headers, request=request
    )


def test_every_operation_was_also_asked_what_it_can_do(things: Things) -> None:
    """The share of refusals says little of an operation that was never once carried out."""
    labels = {f"{one.method.upper()} {one.path}" for one in operations()}
    if not labels <= answered.keys():
        pytest.skip("only some operations were asked; run the whole file")
    never = {label for label in labels if not any(200 <= s < 300 for s in answered[label])}
    assert len(never) <= (1 - SHARE_CARRIED_OUT) * len(labels), never


def operations() -> list[APIOperation[Any, Any, Any, Any]]:
    return [result.ok() for result in schema.get_all_operations()]
