"""Lists of incidents, signals, changes and the catalog: no page reads or sorts a table."""

import pytest

from services.incidents.app import MIGRATIONS, create_app
from tests.conftest import client_of, database, signed_in
from tests.engines.plans import plans_of, reads_too_much
from tests.engines.stores import SqliteStore

PATHS = [
    "/v1/incidents",
    "/v1/incidents?sort=updated",
    "/v1/incidents?state=open",
    "/v1/incidents?severity=high",
    "/v1/incidents?service=api",
    "/v1/incidents?product=Checkout",
    "/v1/incidents?source=alertmanager",
    "/v1/incidents?assignee=ann",
    "/v1/incidents?silenced=true",
    "/v1/incidents?silenced=false",
    "/v1/signals",
    "/v1/signals?status=firing",
    "/v1/signals?incident_id=inc_1",
    "/v1/changes",
    "/v1/changes?kind=deployment",
    "/v1/silences",
    "/v1/silences?state=active",
    "/v1/mappings",
    "/v1/catalog/services",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_found_in_the_index_of_its_sort(
    sqlite_store: SqliteStore, path: str
) -> None:
    async with database(sqlite_store, MIGRATIONS) as db, client_of(signed_in(create_app(db))) as c:
        assert reads_too_much(await plans_of(c, db, path)) == []
