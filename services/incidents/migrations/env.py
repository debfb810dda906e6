"""Alembic's entry to the incidents service's history."""

from services.incidents.metadata import metadata
from shared.migrations import run_env

run_env(metadata)
