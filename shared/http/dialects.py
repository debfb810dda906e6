"""What the clients of other systems can read when something is refused, by the address they post to.

Everybody else gets a problem document.
"""

from starlette.responses import JSONResponse, Response

from shared.http.problems import FieldProblem, problem

ALERTMANAGER = "/api/v2/"
"""Its clients read JSON strings only: amtool can't even say the status of a problem document."""
PAGERDUTY = frozenset({"/v2/enqueue", "/v2/change/enqueue"})
OPSGENIE = "/v2/alerts"


def refusal(
    path: str,
    request_id: str | None,
    status: int,
    slug: str,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A refusal in the words of the address."""
    if path.startswith(ALERTMANAGER):
        return JSONResponse(detail, status, headers)
    if path in PAGERDUTY:
        invalid = status == 400
        said: dict[str, object] = {
            "status": "invalid event" if invalid else "refused",
            "message": "Event object is invalid" if invalid else detail,
            "errors": [f"'{one.field}' {one.message}" for one in errors or []] or [detail],
        }
        return JSONResponse(said, status, headers)
    if path == OPSGENIE or path.startswith(OPSGENIE + "/"):
        said = {"message": detail, "took": 0.0, "requestId": request_id}
        if errors:
            said["errors"] = {one.field: one.message for one in errors}
        return JSONResponse(said, status, headers)
    return problem(request_id, status, slug, detail, errors, headers)
