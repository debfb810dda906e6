"""Alembic's entry to the gateway's history."""

from services.gateway.metadata import metadata
from shared.migrations import run_env

run_env(metadata)
