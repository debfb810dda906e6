"""Requests made up from the OpenAPI document, for every operation of it, against all of the system.

Whatever comes in, the answer is one that the document describes, and never a fault of ours.
"""

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, checks
from schemathesis.specs.openapi import checks as openapi

from services.standalone import document
from tests.whole.system import ALERTMANAGER_API, System, check_refusal
from tests.whole.things import Things, made_real

EXAMPLES = 15
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]

schema = schemathesis.openapi.from_dict(document())
schema.config.phases.coverage.enabled = __import__('os').environ.get('COV')=='1'
schema.config.generation.update(with_security_parameters=False)
spent=[];val=[]
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
    made_real(case, things)
    import time
    t=time.perf_counter()
    answer = case.call(base_url=system.url, session=session)
    spent.append(time.perf_counter()-t)
    answered.setdefault(case.operation.label, Counter())[answer.status_code] += 1
    print(case.operation.label, answer.status_code, answer.text[:300])
    t=time.perf_counter()
    case.validate_response(answer, checks=CHECKS)
    val.append(time.perf_counter()-t)
def test_spent():
    print(len(spent),sum(spent),sum(val), answered)
    assert 0
