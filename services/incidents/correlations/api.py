"""HTTP of correlations: the rules, and what one would take together."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from services.incidents.correlations import commands, queries
from services.incidents.correlations.bodies import CorrelationPreviewBody, CorrelationRuleBody
from services.incidents.correlations.queries import CorrelationRuleView, look_back
from shared.context import Context
from shared.http import command
from shared.http.context import Db, IfMatch, needs
from shared.http.fields import View
from shared.http.pages import Cursor, Limit, Page

router = APIRouter(tags=["correlations"])

Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("policies:write")]
RuleName = Annotated[
    str,
    Path(
        max_length=56,
        pattern=r"^[a-z0-9][a-z0-9_.-]*$",
        description="a-z, 0-9, dot, dash, underscore",
    ),
]

UNSAVED = "tried"
"""The name of a rule that needs not be stored."""
LOOK_BACK = timedelta(days=7)
MOST_GROUPS, MOST_CHILDREN = 50, 100


class CorrelatedIncidentView(View):
    """An incident of a group; `why` it would be a child, null for the parent."""

    id: str
    opened_at: datetime
    service: str
    why: str | None


class CorrelationGroupView(View):
    """Incidents that would be one."""

    parent: CorrelatedIncidentView
    children: int
    first: list[CorrelatedIncidentView]
    """Of the children, by when they began; a hundred at most."""


class CorrelationPreviewView(View):
    """What the rule alone would have taken together of what was opened between `since` and `until`."""

    since: datetime
    until: datetime
    complete: bool
    """False when there were too many incidents to look at all of them: the newest were."""
    incidents: int
    """All that were looked at."""
    groups: int
    children: int
    newest: list[CorrelationGroupView]
    """Of the groups, fifty at most."""


@router.put(
    "/v1/correlations/{name}",
    response_model=CorrelationRuleView,
    summary="Put or replace a rule of correlation",
)
async def put_correlation_rule(
    request: Request, name: RuleName, body: CorrelationRuleBody, ctx: Writer, if_match: IfMatch
) -> Response:
    """Incidents that are one by it become children of one parent: kept and shown, and no evidence.
    What it changes of what was opened before is decided anew within seconds."""
    return await command.run(
        request,
        ctx,
        lambda conn: commands.put(conn, name, body.document(), body.since, ctx, expected=if_match),
        queries.shown,
    )


@router.get("/v1/correlations", summary="List rules of correlation")
async def list_correlation_rules(
    ctx: Reader, db: Db, limit: Limit = 50, cursor: Cursor = None
) -> Page[CorrelationRuleView]:
    """`flapping` is there from the beginning: what opens four times in two hours is one."""
    async with db.read() as conn:
        return await queries.list_rules(conn, limit=limit, cursor=cursor)


@router.post("/v1/correlations/preview", summary="See what a rule would have taken together")
async def preview_correlation_rule(
    body: CorrelationPreviewBody, ctx: Reader, db: Db
) -> CorrelationPreviewView:
    """Nothing is stored. It is looked at as though it had held all along, and no other rule had."""
    since = body.since or ctx.now - LOOK_BACK
    rule = body.rule.stored(UNSAVED, since, ctx).rule()
    async with db.read() as conn:
        seen = await look_back(conn, rule, since, ctx.now, MOST_GROUPS)
    return CorrelationPreviewView(
        since=since,
        until=ctx.now,
        complete=seen.complete,
        incidents=seen.incidents,
        groups=len(seen.groups),
        children=sum(len(group.members) - 1 for group in seen.groups),
        newest=[_shown(seen, group) for group in seen.groups[:MOST_GROUPS]],
    )


@router.get("/v1/correlations/{name}", summary="Read a rule of correlation")
async def read_correlation_rule(
    name: RuleName, ctx: Reader, db: Db, response: Response
) -> CorrelationRuleView:
    async with db.read() as conn:
        found = await queries.rule(conn, name)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post(
    "/v1/correlations/{name}/remove",
    response_model=CorrelationRuleView,
    summary="Remove a rule of correlation",
)
async def remove_correlation_rule(request: Request, name: RuleName, ctx: Writer) -> Response:
    """What is a child by it counts again within seconds. Answers with the rule as it was."""
    return await command.run(
        request, ctx, lambda conn: commands.remove(conn, name, ctx), queries.shown
    )


def _shown(seen: queries.LookedBack, group: queries.Group) -> CorrelationGroupView:
    children = sorted(
        (seen.members[one] for one in group.members - {group.parent}),
        key=lambda one: (one.opened_at, one.id),
    )
    return CorrelationGroupView(
        parent=_one(seen, group.parent),
        children=len(children),
        first=[_one(seen, one.id) for one in children[:MOST_CHILDREN]],
    )


def _one(seen: queries.LookedBack, incident_id: str) -> CorrelatedIncidentView:
    member = seen.members[incident_id]
    return CorrelatedIncidentView(
        id=member.id,
        opened_at=member.opened_at,
        service=member.service,
        why=seen.reasons.get(incident_id),
    )
