"""A next version of Groundswell, made from this one: its schema has grown, as an expansion does."""

import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alembic.script import ScriptDirectory

from services.engines import MIGRATIONS, SERVICES
from shared.migrations import config_for

PRODUCT = ("services", "shared")
ROOT = Path(__file__).parents[2]

REVISION = '''"""What the next version adds."""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("next_things", sa.Column("id", sa.Text, primary_key=True))
    op.add_column("outbox", sa.Column("next_note", sa.Text, nullable=True))
    op.add_column("inbox", sa.Column("next_note", sa.Text, nullable=True))
    op.add_column("idempotency_keys", sa.Column("next_note", sa.Text, nullable=True))
'''

GROWN = {
    "incidents": ("incidents", "signals"),
    "feedback": ("evidence",),
    "roadmap": ("candidates",),
}
"""The tables of each service that grow a column too."""


@contextmanager
def next_version(folder: Path) -> Generator[Mapping[str, str]]:
    """The environment in which a command is of the next version."""
    home = folder / "next-version"
    for package in PRODUCT:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, home / package, ignore=ignored)
    for service in SERVICES:
        history = ScriptDirectory.from_config(config_for(MIGRATIONS[service]))
        text = REVISION.format(head=history.get_current_head())
        for table in GROWN.get(service, ()):
            text += (
                f'    op.add_column("{table}", sa.Column("next_note", sa.Text, nullable=True))\n'
            )
        (home / "services" / service / "migrations" / "versions" / "next.py").write_text(text)
    yield {"PYTHONPATH": str(home)}
    shutil.rmtree(home)
