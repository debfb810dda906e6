"""The inner hop: how the gateway tells a service who calls, so that nobody else can.

The caller travels as a JWT that lives for a minute, signed with a secret that the gateway and the
services share, for one service only. A service over HTTP answers to nothing that comes without it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import jwt
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import logs
from shared.auth import PRINCIPAL, Principal, Sender
from shared.clock import utc_now
from shared.http.problems import problem
from shared.ids import new_id

logger = structlog.get_logger(__name__)

PRINCIPAL_HEADER = b"groundswell-principal"
REQUEST_ID_HEADER = b"groundswell-request-id"
REQUEST_ID = "groundswell.request_id"
"""Key in the ASGI scope; the services read it for their problems, events and logs."""

ALGORITHM = "HS256"
ISSUER = "groundswell-gateway"
LIFETIME = timedelta(seconds=60)
LEEWAY = timedelta(seconds=60)
"""How far the clocks of two machines may be apart."""
CLAIMS = ("iss", "aud", "sub", "iat", "exp", "name", "scopes")

REFUSED = (
    "This address answers to Groundswell's gateway only, and what came was not signed by it. Call the"
    " gateway; where it is the gateway that calls, give both the same GROUNDSWELL_INTERNAL_SECRET"
    " and set the clocks of their machines."
)
CRASHED = (
    "This is a fault of ours, and logged under the request id. Nothing was half-written; try again."
)


class PrincipalRefused(Exception):
    """The token does not say who calls; says why. Never quotes the token."""


def sign(principal: Principal, service: str, secret: str) -> str:
    """The caller, as a token that `service` takes for a minute."""
    now = utc_now()
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": service,
        "sub": principal.id,
        "iat": now,
        "exp": now + LIFETIME,
        "name": principal.name,
        "scopes": sorted(principal.scopes),
    }
    if principal.sender is not None:
        claims["sender"] = asdict(principal.sender)
    return jwt.encode(claims, secret, algorithm=ALGORITHM)  # pyright: ignore[reportUnknownMemberType]


def verify(token: str, service: str, secrets: Sequence[str]) -> Principal:
    """The caller that the gateway vouches for under one of these secrets. Raises PrincipalRefused."""
    why: Exception | None = None
    for secret in secrets:
        try:
            claims: dict[str, Any] = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                token,
                secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=service,
                leeway=LEEWAY,
                options={"require": list(CLAIMS)},
            )
        except jwt.InvalidSignatureError as error:
            why = error
        except jwt.InvalidTokenError as error:
            raise PrincipalRefused(str(error)) from error
        else:
            return _principal(claims)
    raise PrincipalRefused("no secret of ours signed it") from why


def _principal(claims: dict[str, Any]) -> Principal:
    if claims["exp"] - claims["iat"] > LIFETIME.total_seconds():
        raise PrincipalRefused("it lives longer than a minute")
    name, scopes = claims["name"], claims["scopes"]
    if not isinstance(name, str) or not isinstance(scopes, list):
        raise PrincipalRefused("its claims have the wrong types")
    held = frozenset(str(scope) for scope in scopes)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    try:
        sender = Sender(**claims["sender"]) if "sender" in claims else None
    except TypeError as error:
        raise PrincipalRefused("its sender has not the fields of one") from error
    return Principal(claims["sub"], name, held, sender)


def inner(app: ASGIApp, service: str, secrets: Sequence[str]) -> ASGIApp:
    """The service as it listens on a network: answers to its gateway only, in the caller's name."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        ours = (PRINCIPAL_HEADER, REQUEST_ID_HEADER)
        kept = [header for header in headers if header[0] not in ours]
        inside = {**scope, "headers": kept}
        inside.pop(PRINCIPAL, None)
        try:
            inside[PRINCIPAL] = verify(_one(headers, PRINCIPAL_HEADER) or "", service, secrets)
        except PrincipalRefused as refused:
            logger.warning("a request that no gateway vouches for", why=str(refused))
            answer = problem(None, 401, "principal-refused", REFUSED)
            return await answer(inside, receive, send)
        request_id = inside[REQUEST_ID] = _one(headers, REQUEST_ID_HEADER) or new_id("req")
        token = logs.REQUEST_ID.set(request_id)
        try:
            return await contained(app, inside, receive, send)
        finally:
            logs.REQUEST_ID.reset(token)

    return wrapped


def _one(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = [value for header, value in headers if header == name]
    return found[0].decode("latin-1") if len(found) == 1 else None


async def contained(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the app; a crash before its answer becomes a 500, one in the middle cuts the connection."""
    started = ended = False

    async def watched(message: Message) -> None:
        nonlocal started, ended
        if message["type"] == "http.response.start":
            started = True
        elif message["type"] == "http.response.body":
            ended = not message.get("more_body", False)
        await send(message)

    try:
        await app(scope, receive, watched)
    except Exception:
        if not started:
            logger.exception("request failed", path=scope["path"])
            answer = problem(scope.get(REQUEST_ID), 500, "internal-error", CRASHED)
            await answer(scope, receive, send)
        elif not ended:
            raise  # the server cuts the connection, so that half an answer isn't taken for one
