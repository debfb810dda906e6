"""Alembic's entry to the roadmap service's history."""

from services.roadmap.metadata import metadata
from shared.migrations import run_env

run_env(metadata)
