"""The HTTP side of the incidents service, wired in one place."""

from pathlib import Path

from fastapi import FastAPI

from services.incidents.catalog import api as catalog
from services.incidents.incidents import api as incidents
from services.incidents.incidents import steps_api as steps
from services.incidents.incidents.consumers import SUBSCRIPTION
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import api as signals
from services.incidents.signals import incident_api as whole
from services.incidents.signals.writer import Writer
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http.dead_letters import router_of
from shared.http.edge import create_service

NAME = "incidents"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(
    db: Database, clock: Clock = utc_now, settings: IncidentsSettings | None = None
) -> FastAPI:
    """The app over this database. It has no authentication of its own: the gateway says who calls.

    `app.state.writer` is the writer of signals. It starts by itself; await its `stop()` when the
    process ends, after the last request and before the database is closed.
    """
    # The hot addresses first, since routes are tried in order.
    routers = [
        signals.hot,
        signals.router,
        whole.router,
        incidents.router,
        steps.router,
        catalog.router,
        router_of(NAME, [SUBSCRIPTION]),
    ]
    app = create_service(NAME, "Incidents", db, routers, clock)
    app.state.settings = settings or IncidentsSettings()
    app.state.writer = Writer(db, app.state.settings)
    return app
