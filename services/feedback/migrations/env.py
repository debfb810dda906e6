"""Alembic's entry to the feedback service's history."""

from services.feedback.metadata import metadata
from shared.migrations import run_env

run_env(metadata)
