"""How senders sign: HMAC-SHA-256 of the raw body, under a secret that both sides know.

Each scheme is `(headers, body, secrets, now) -> bool`, compared in constant time with every secret that
counts. Headers have lower-case names; of one that came twice nothing is believed.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

Scheme = Callable[[Mapping[str, str], bytes, Sequence[bytes], datetime], bool]

FRESH = timedelta(minutes=5)
"""How old a signed time may be, and how far ahead: a recorded post can't be sent again later."""


def github(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime
) -> bool:
    """`X-Hub-Signature-256: sha256=<hex>`."""
    stated = headers.get("x-hub-signature-256", "")
    return stated.startswith("sha256=") and _one_of(stated[7:], body, secrets)


def sentry(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime
) -> bool:
    """`Sentry-Hook-Signature: <hex>`."""
    return _one_of(headers.get("sentry-hook-signature", ""), body, secrets)


def grafana(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime
) -> bool:
    """`X-Grafana-Alerting-Signature: <hex>`, of `<timestamp>:<body>` where a timestamp comes along.

    Grafana lets its user name the timestamp's header; here that is `X-Grafana-Alerting-Timestamp`.
    """
    stated = headers.get("x-grafana-alerting-signature", "")
    timestamp = headers.get("x-grafana-alerting-timestamp")
    if timestamp is None:
        return _one_of(stated, body, secrets)
    return _fresh(timestamp, now) and _one_of(stated, f"{timestamp}:".encode() + body, secrets)


SCHEMES: Mapping[str, Scheme] = {
    "/ingest/github": github,
    "/ingest/sentry": sentry,
    "/ingest/grafana": grafana,
}
"""By the address to which such a sender posts."""


def _one_of(stated: str, signed: bytes, secrets: Sequence[bytes]) -> bool:
    given = stated.strip().lower().encode()
    expected = [hmac.digest(secret, signed, hashlib.sha256).hex().encode() for secret in secrets]
    matches = [hmac.compare_digest(given, one) for one in expected]  # all, whatever the first says
    return any(matches)


def _fresh(timestamp: str, now: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    try:
        return abs(now - datetime.fromtimestamp(int(timestamp), UTC)) <= FRESH
    except (OverflowError, ValueError):
        return False
