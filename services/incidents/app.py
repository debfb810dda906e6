"""The HTTP side of the incidents service, wired in one place."""

from functools import partial
from pathlib import Path

from fastapi import FastAPI

from services.incidents.catalog import api as catalog
from services.incidents.changes import api as changes
from services.incidents.correlations import api as correlations
from services.incidents.correlations.consumers import subscription as correlating
from services.incidents.incidents import api as incidents
from services.incidents.incidents import steps_api as steps
from services.incidents.incidents.consumers import SUBSCRIPTION
from services.incidents.mappings import api as mappings
from services.incidents.mappings.current import Mappings
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import api as signals
from services.incidents.signals import changes_api as sent_changes
from services.incidents.signals import incident_api as whole
from services.incidents.signals import others_api as others
from services.incidents.signals import pagers_api as pagers
from services.incidents.signals import senders_api as senders
from services.incidents.signals.hot_route import hot_first
from services.incidents.signals.limits import Limits
from services.incidents.signals.writer import Writer
from services.incidents.silences import api as silences
from services.incidents.silences.current import CurrentSilences
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
    hot = [senders.router, others.router, pagers.router, sent_changes.router]
    routers = [
        *hot,
        others.by_mapping,
        pagers.by_alias,
        signals.router,
        whole.router,
        incidents.router,
        steps.router,
        catalog.router,
        changes.router,
        mappings.router,
        silences.router,
        correlations.router,
        router_of(NAME, [SUBSCRIPTION, correlating(clock)]),
    ]
    first = partial(hot_first, routes=[route for some in hot for route in some.routes])
    app = create_service(NAME, "Incidents", db, routers, clock, first=first)
    app.state.settings = settings or IncidentsSettings()
    app.state.mappings = Mappings(db)
    app.state.silences = CurrentSilences(db)
    app.state.writer = Writer(db, app.state.settings, app.state.silences)
    app.state.limits = Limits()
    return app
