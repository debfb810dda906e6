"""The validation handshake of CloudEvents' webhooks: a sender asks whether it may deliver here.

It comes before any event and may come without a key; it opens nothing: what is delivered needs one.
https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md, section 4
"""

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

ADDRESSES = frozenset({"/ingest/cloudevents"})
ORIGIN, RATE = b"webhook-request-origin", b"webhook-request-rate"
LONGEST = 200


def handshaking(app: ASGIApp) -> ASGIApp:
    """Answer OPTIONS at the addresses of webhooks: every origin may deliver, as fast as it asks to."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "OPTIONS" or scope["path"] not in ADDRESSES:
            return await app(scope, receive, send)
        asked = {name: value.decode("latin-1")[:LONGEST] for name, value in scope["headers"]}
        headers = {"Allow": "OPTIONS, POST"}
        if ORIGIN in asked:
            headers["WebHook-Allowed-Origin"] = asked[ORIGIN]
            headers["WebHook-Allowed-Rate"] = asked.get(RATE, "*")
        return await Response(status_code=200, headers=headers)(scope, receive, send)

    return wrapped
