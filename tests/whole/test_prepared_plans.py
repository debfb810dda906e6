"""How SQLite goes about the prepared statements of the services: by an index, however many rows there are.

Nobody runs ANALYZE, so that a plan is the same for an empty database.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Column, Delete, MetaData, Select, Update, create_engine
from sqlalchemy.sql import visitors

import services.feedback
import services.incidents
import services.roadmap
from services.feedback.metadata import metadata as feedback
from services.incidents.metadata import metadata as incidents
from services.roadmap.metadata import metadata as roadmap
from shared.keys import one_of
from shared.outbox import plumbing
from shared.prepared import Prepared

ONE_OF = type(one_of(Column("any")))

SMALL = {"horizon", "policies", "correlation_rules", "score_policies", "json_each"}
"""What is read as a whole: there are a few rows of it."""

BY_ANOTHER_WAY = {
    "services.feedback.outcomes.store._MARK_DUE",  # by what a theme is by now, which is nowhere kept
    "services.incidents.correlations.store._GROUPS_OF_ALERTS",  # by the time of the groups
}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def statements(packages: Iterable[ModuleType]) -> Iterator[tuple[str, Any]]:
    """Name and statement of each that is prepared in these packages."""
    for module in (one for package in packages for one in modules(package)):
        for name, value in vars(module).items():
            several = value.items() if isinstance(value, dict) else [("", value)]
            for key, prepared in several:
                if isinstance(prepared, Prepared) and key != "postgresql":
                    yield f"{module.__name__}.{name}", prepared._statement


def steps(statement: Any, metadata: MetaData) -> list[str]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    plumbing.create_all(engine)
    compiled = statement.compile(dialect=engine.dialect)
    places = tuple("[]" for _ in compiled.positiontup)
    with engine.connect() as conn:
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", places)
        found = [row[3] for row in plan]
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("package", "metadata"),
    [
        (services.incidents, incidents),
        (services.feedback, feedback),
        (services.roadmap, roadmap),
    ],
)
def test_no_prepared_statement_reads_a_whole_table_or_misses_its_keys(
    package: ModuleType, metadata: MetaData
) -> None:
    looked_at = 0
    for name, statement in statements([package]):
        if not isinstance(statement, Select | Update | Delete):
            continue
        looked_at += 1
        plan = steps(statement, metadata)
        scanned = {one.split()[1] for one in plan if one.startswith("SCAN")}
        keys = [one for one in visitors.iterate(statement) if isinstance(one, ONE_OF)]
        if name in BY_ANOTHER_WAY:
            continue
        assert scanned <= SMALL, (name, plan)
        for first, *_ in (list(one.clauses) for one in keys):
            searched = re.compile(rf"[( ]{first.name}=\?")
            assert any(searched.search(step) for step in plan), (name, plan)
    assert looked_at > 5
