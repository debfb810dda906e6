"""The front door, wired in one place: the gateway's own operations, and the road to every service."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from services.gateway import front_page, summary
from services.gateway.access import api as access
from services.gateway.docs import docs_of
from services.gateway.edge.answers import refuse
from services.gateway.edge.authenticate import Who, authenticated
from services.gateway.edge.bound import bounded
from services.gateway.edge.handshake import handshaking
from services.gateway.edge.identify import identified
from services.gateway.edge.prove import PROVEN_LATER, Signs, proven
from services.gateway.edge.route import routed, table_of
from services.gateway.integrations import api as integrations
from services.gateway.keyring import Keyring
from services.gateway.openapi import PUBLIC, Document, merged
from services.gateway.peers import Peers
from services.gateway.trace import api as trace
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http import probes
from shared.http.edge import create_service
from shared.http.health import Health
from shared.http.room import Room, admitted

NAME = "gateway"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(db: Database, keyring: Keyring, health: Health, clock: Clock = utc_now) -> FastAPI:
    """The gateway's own operations, as one more service."""
    nouns = [access, integrations, trace, summary, front_page, probes]
    app = create_service(NAME, "Gateway", db, [noun.router for noun in nouns], clock)
    app.state.keyring = keyring
    app.state.health = health
    return app


def create_gateway(
    own: FastAPI,
    services: Mapping[str, ASGIApp],
    documents: Mapping[str, Document],
    keyring: Keyring,
    room: Room,
) -> ASGIApp:
    """The outermost app over the gateway's own operations and the services', wherever these run.

    `documents` says what each service answers to; none of them need be up. Raises RoutesOverlap,
    DocumentsConflict or ScopeMissing when they don't fit together.
    """
    described = {NAME: own.openapi(), **documents}
    table = table_of({NAME: own, **services}, described) | docs_of(merged(described))
    own.state.peers = Peers(routed(table))
    return front_door(table, keyring.principal, room, keyring.signing, keyring.clock)


def front_door(
    table: Mapping[str, ASGIApp], who: Who, room: Room, signs: Signs, clock: Clock = utc_now
) -> ASGIApp:
    """The road of every request; read it from the bottom up."""
    app = routed(table)
    app = proven(app, who, signs, clock)
    app = bounded(app)
    app = admitted(app, room, refuse)
    app = authenticated(app, who, PUBLIC | {"/docs/"}, PROVEN_LATER)
    app = handshaking(app)
    return identified(app)


def document_of(own: FastAPI, documents: Mapping[str, Document]) -> Document:
    """The merged OpenAPI document, as the gateway serves it."""
    return merged({NAME: own.openapi(), **documents})
