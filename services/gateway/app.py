"""The front door, wired in one place: the gateway's own operations, and the road to every service."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from services.gateway import probes, summary
from services.gateway.access import api as access
from services.gateway.access.keyring import Keyring
from services.gateway.docs import docs_of
from services.gateway.edge.authenticate import Who, authenticated
from services.gateway.edge.bound import bounded
from services.gateway.edge.identify import identified
from services.gateway.edge.route import routed, table_of
from services.gateway.health import Health
from services.gateway.openapi import PUBLIC, Document, merged
from services.gateway.peers import Peers
from services.gateway.trace import api as trace
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http.edge import create_service

NAME = "gateway"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(db: Database, keyring: Keyring, health: Health, clock: Clock = utc_now) -> FastAPI:
    """The gateway's own operations, as one more service."""
    routers = [access.router, trace.router, summary.router, probes.router]
    app = create_service(NAME, "Gateway", db, routers, clock)
    app.state.keyring = keyring
    app.state.health = health
    return app


def create_gateway(own: FastAPI, services: Mapping[str, FastAPI], keyring: Keyring) -> ASGIApp:
    """The outermost app over the gateway's own and the services'.

    Raises RoutesOverlap, DocumentsConflict or ScopeMissing when they don't fit together.
    """
    apps = {NAME: own, **services}
    documents = {name: app.openapi() for name, app in apps.items()}
    table = table_of(apps, documents) | docs_of(merged(documents))
    own.state.peers = Peers(routed(table))
    return front_door(table, keyring.principal)


def front_door(table: Mapping[str, ASGIApp], who: Who) -> ASGIApp:
    """The road of every request; read it from the bottom up."""
    app = routed(table)
    app = authenticated(app, who, PUBLIC | {"/docs/"})
    app = bounded(app)
    return identified(app)


def document_of(own: FastAPI, services: Mapping[str, FastAPI]) -> Document:
    """The merged OpenAPI document, as the gateway serves it."""
    return merged({NAME: own.openapi(), **{n: app.openapi() for n, app in services.items()}})
