"""The HTTP side of the incidents service, wired in one place."""

from pathlib import Path

from fastapi import FastAPI

from services.incidents.catalog import api as catalog
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http.edge import create_service

NAME = "incidents"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(db: Database, clock: Clock = utc_now) -> FastAPI:
    """The app over this database. It has no authentication of its own: the gateway says who calls."""
    return create_service(NAME, "Incidents", db, [catalog.router], clock)
