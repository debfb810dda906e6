"""Who calls: reads the credential, puts a Principal into the ASGI scope, takes the credential out."""

import base64
import binascii
from collections.abc import Callable, Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.edge.answers import refuse
from shared.auth import PRINCIPAL, Principal

Who = Callable[[str], Principal | None]
"""Whom the text of a key stands for, or None when it opens nothing."""

CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"proxy-authorization", b"cookie"})
"""Not passed on: no service needs them, and so none can log them."""

ASKED = 'Bearer realm="groundswell", Basic realm="groundswell", charset="UTF-8"'
NO_KEY = (
    "This needs an API key; send `Authorization: Bearer <key>`, or X-API-Key, or HTTP Basic with"
    " the key as password. The first key is in the file admin.key of the data folder."
)
WRONG_KEY = "This API key is unknown, revoked or expired; ask an administrator for a new one."


def authenticated(
    app: ASGIApp, who: Who, public: Collection[str], later: Collection[str] = ()
) -> ASGIApp:
    """Let in who shows an active key; `public` are the paths, and folders ending in /, open to all.

    On a public path a credential is neither needed nor looked at. On the paths `later` one that is
    not shown is looked for in the body, by `prove`.
    """
    folders = tuple(path for path in public if path.endswith("/") and path != "/")
    exact = frozenset(public)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        inner = {**scope, "headers": [h for h in headers if h[0] not in CREDENTIALS]}
        inner.pop(PRINCIPAL, None)
        path: str = scope["path"]
        if path not in exact and not path.startswith(folders):
            shown = credential(headers)
            principal = who(shown) if shown else None
            if principal is None and not shown and path in later:
                return await app(inner, receive, send)
            if principal is None:
                slug, detail = ("key-refused", WRONG_KEY) if shown else ("key-missing", NO_KEY)
                asked = {"WWW-Authenticate": ASKED}
                return await refuse(inner, receive, send, 401, slug, detail, asked)
            inner[PRINCIPAL] = principal
        return await app(inner, receive, send)

    return wrapped


def credential(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The API key that came with the request, in whichever of the three ways; None without one."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip() or None
        if name == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            if scheme.lower() in ("bearer", "geniekey"):  # the latter is Opsgenie's
                return rest.strip() or None
            if scheme.lower() == "basic":
                return _password(rest.strip())
    return None


def _password(encoded: str) -> str | None:
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    user, _, password = pair.partition(":")
    return password or user or None
