"""Members and rules for the tests of correlations, and members made up by hypothesis."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from services.incidents.correlations.dependencies import Dependencies
from services.incidents.correlations.domain import Member, Rule

START = datetime(2026, 3, 1, tzinfo=UTC)

SHOP = Dependencies(
    {
        "web": ["api"],
        "api": ["orders", "payments"],
        "orders": ["db"],
        "payments": ["db"],
        "mail": ["queue"],
    }
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def member(
    id: str,
    seconds: float,
    *,
    alert: str | None = None,
    service: str = "api",
    product: str = "Shop",
    **labels: str,
) -> Member:
    """An incident that began so many seconds after the start."""
    return Member(id, at(seconds), "prometheus", alert or id, service, product, labels)


def rule(name: str = "storm", **said: Any) -> Rule:
    """A rule with what is said of it: within a minute, spanning three, two at least."""
    defaults: dict[str, Any] = {
        "matchers": (),
        "by": (),
        "dependencies": False,
        "hops": 2,
        "within": timedelta(seconds=60),
        "span": timedelta(seconds=180),
        "at_least": 2,
        "since": START - timedelta(days=1),
    }
    return Rule(name, **{**defaults, **said})


FLAPPING = rule(
    "flapping", by=("alert",), within=timedelta(hours=2), span=timedelta(hours=2), at_least=4
)


@st.composite
def members(draw: st.DrawFn, most: int = 24) -> list[Member]:
    """Incidents of a few alerts and services, close enough to be one now and then."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(0, 40),
                st.sampled_from(["a", "b", "c"]),
                st.sampled_from(["web", "api", "db", "queue", "mail", "unassigned"]),
                st.sampled_from(["eu", "us", ""]),
            ),
            max_size=most,
        )
    )
    return [
        member(f"inc_{n:02}", 20 * step, alert=alert, service=service, zone=zone)
        for n, (step, alert, service, zone) in enumerate(drawn)
    ]


RULES = [
    rule("flapping", by=("alert",), within=timedelta(seconds=100), at_least=3),
    rule("by-zone", by=("zone",), at_least=3),
    rule("depending", dependencies=True, at_least=2),
]
