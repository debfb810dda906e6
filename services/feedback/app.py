"""The HTTP side of the feedback service, wired in one place."""

from pathlib import Path

from fastapi import FastAPI

from services.feedback.consumers import subscriptions
from services.feedback.detection import api as detection
from services.feedback.feedback import api as feedback
from services.feedback.outcomes import api as outcomes
from services.feedback.themes import api as themes
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http.dead_letters import router_of
from shared.http.edge import create_service

NAME = "feedback"
MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(db: Database, clock: Clock = utc_now) -> FastAPI:
    """The app over this database. It has no authentication of its own: the gateway says who calls."""
    nouns = [feedback, themes, detection, outcomes]
    routers = [*(noun.router for noun in nouns), router_of(NAME, subscriptions(clock))]
    return create_service(NAME, "Feedback", db, routers, clock)
