"""Lists of feedback, themes and outcomes: no page reads or sorts a table."""

import pytest

from services.feedback.app import MIGRATIONS, create_app
from tests.conftest import client_of, database, signed_in
from tests.engines.plans import plans_of, reads_too_much
from tests.engines.stores import SqliteStore

PATHS = [
    "/v1/themes",
    "/v1/themes?state=quiet",
    "/v1/themes?product=Checkout",
    "/v1/themes?product=Checkout&state=quiet",
    "/v1/themes?service=api",
    "/v1/feedback",
    "/v1/feedback?kind=customer",
    "/v1/feedback?product=Checkout",
    "/v1/feedback?author=ann",
    "/v1/outcomes",
    "/v1/outcomes?verdict=verified",
    "/v1/outcomes?item_id=itm_1",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_found_in_the_index_of_its_sort(
    sqlite_store: SqliteStore, path: str
) -> None:
    async with database(sqlite_store, MIGRATIONS) as db, client_of(signed_in(create_app(db))) as c:
        assert reads_too_much(await plans_of(c, db, path)) == []


@pytest.mark.parametrize("path", ["/v1/feedback?theme_id=thm_1", "/v1/outcomes?theme_id=thm_1"])
async def test_what_belongs_to_a_theme_is_looked_up_and_nothing_else_read(
    sqlite_store: SqliteStore, path: str
) -> None:
    async with database(sqlite_store, MIGRATIONS) as db, client_of(signed_in(create_app(db))) as c:
        steps = await plans_of(c, db, path)
        assert [step for step in steps if step.startswith("SCAN")] == []
