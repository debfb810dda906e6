"""Who calls, where only the body can tell: a key inside of it, or a signature over it.

Stands behind `bound`, which has read the body whole.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.edge.answers import refuse
from services.gateway.edge.authenticate import ASKED, NO_KEY, Who
from services.gateway.integrations.signatures import SCHEMES
from services.gateway.keyring import Signing
from shared.auth import PRINCIPAL, Principal
from shared.clock import Clock
from shared.http.dialects import PAGERDUTY

Signs = Callable[[str], Signing | None]
"""How the integration with this id signs, or None when it need not."""

KEY_IN_BODY = PAGERDUTY
"""The routing key is a field of the body."""

PROVEN_LATER = KEY_IN_BODY | SCHEMES.keys()

WRONG_ROUTING_KEY = (
    "'routing_key' is not that of an integration, or was revoked; POST /v1/integrations makes one"
)
WRONG_SIGNATURE = (
    "This is not signed with a secret of its integration; give the sender and"
    " PUT /v1/integrations/<id>/signing-secrets the same one."
)
UNSIGNED = (
    "What this integration sends must be signed, and this address takes no signature; send it"
    " where signatures are checked, or remove the integration's signing secrets."
)


class _Keyed(msgspec.Struct):
    routing_key: str = ""


_KEYED = msgspec.json.Decoder(_Keyed)


def proven(app: ASGIApp, who: Who, signs: Signs, clock: Clock) -> ASGIApp:
    """Let in whom the body proves, where nothing before it did; check what must be signed."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        principal: Principal | None = scope.get(PRINCIPAL)
        if path in KEY_IN_BODY:
            body, again = await _body(receive)
            principal = who(routing_key(body))
            if principal is None:
                return await refuse(scope, again, send, 400, "key-refused", WRONG_ROUTING_KEY)
            scope, receive = {**scope, PRINCIPAL: principal}, again
        signing = signs(_integration(scope, principal))
        if signing is None:
            if principal is None and path in SCHEMES:
                asked = {"WWW-Authenticate": ASKED}
                return await refuse(scope, receive, send, 401, "key-missing", NO_KEY, asked)
            return await app(scope, receive, send)
        if path not in SCHEMES:
            return await refuse(scope, receive, send, 401, "signature-missing", UNSIGNED)
        body, again = await _body(receive)
        if not SCHEMES[path](_headers(scope), body, signing.secrets, clock()):
            return await refuse(scope, again, send, 401, "signature-refused", WRONG_SIGNATURE)
        return await app({**scope, PRINCIPAL: signing.principal}, again, send)

    return wrapped


def routing_key(body: bytes) -> str:
    """The routing key in a PagerDuty event; empty where there is none."""
    try:
        return _KEYED.decode(body).routing_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _integration(scope: Scope, principal: Principal | None) -> str:
    """Whose signature it should bear: the key's integration, or on a signed address the one named."""
    if principal is not None:
        return principal.sender.integration_id if principal.sender else ""
    if scope["path"] not in SCHEMES:
        return ""
    named = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
    return named.get("integration", [""])[0]


def _headers(scope: Scope) -> Mapping[str, str]:
    """Those that came once."""
    seen: dict[str, str] = {}
    twice: set[str] = set()
    for name, value in scope["headers"]:
        text = name.decode("latin-1").lower()
        twice.update([text] if text in seen else [])
        seen[text] = value.decode("latin-1")
    return {name: value for name, value in seen.items() if name not in twice}


async def _body(receive: Receive) -> tuple[bytes, Receive]:
    """The body, one message since `bound`, and a way to receive it again."""
    message = await receive()
    pending: list[Message] = [message]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return message.get("body", b""), again
