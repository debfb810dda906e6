"""An upgrade brings the rule of flapping, and leaves what was opened before it as it is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, insert, select

from services.incidents.app import MIGRATIONS
from services.incidents.correlations.store import correlation_rules, stored_rule
from services.incidents.incidents.store import incidents
from shared.migrations import config_for

OPENED = datetime(2026, 2, 3, tzinfo=UTC)
NULLABLE = {column.name for column in incidents.c if column.nullable}


@pytest.mark.parametrize(
    ("opened", "since"), [([], datetime(2000, 1, 1, tzinfo=UTC)), ([OPENED], OPENED)]
)
def test_flapping_is_about_what_begins_after_the_upgrade(
    tmp_path: Path, opened: list[datetime], since: datetime
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'incidents.sqlite3'}")
    config = config_for(MIGRATIONS)
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0007")
        for moment in opened:
            row = {"tier": 3, "labels": {}, "links": [], "resolutions": 0, "reopenings": 0}
            row |= {"opened_at": moment, "updated_at": moment, "version": 1}
            missing = {c.name for c in incidents.c} - NULLABLE - row.keys()
            conn.execute(insert(incidents).values(row | dict.fromkeys(missing, "x")))
        command.upgrade(config, "head")
        (rule,) = [stored_rule(one).rule() for one in conn.execute(select(correlation_rules))]
        kept = conn.execute(select(incidents.c.parent_id)).scalars().all()
    engine.dispose()
    assert (rule.name, rule.since, rule.at_least) == ("flapping", since, 4)
    assert kept == [None] * len(opened)
