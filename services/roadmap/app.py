"""The HTTP side of the roadmap service, wired in one place."""

from pathlib import Path

from fastapi import FastAPI

from services.roadmap.board import api as board
from services.roadmap.candidates import api as candidates
from services.roadmap.candidates import decisions_api as decisions
from services.roadmap.candidates import policy_api as policy
from services.roadmap.consumers import SUBSCRIPTION
from services.roadmap.items import api as items
from services.roadmap.items import lifecycle_api as lifecycle
from services.roadmap.objectives import api as objectives
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http.dead_letters import router_of
from shared.http.edge import create_service

NAME = "roadmap"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(db: Database, clock: Clock = utc_now) -> FastAPI:
    """The app over this database. It has no authentication of its own: the gateway says who calls."""
    nouns = [candidates, decisions, policy, items, lifecycle, objectives, board]
    routers = [*(noun.router for noun in nouns), router_of(NAME, [SUBSCRIPTION])]
    return create_service(NAME, "Roadmap", db, routers, clock)
