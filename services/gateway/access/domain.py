"""What an API key is, and when it opens the door. No I/O; the clock is an argument.

A key's text is `gs_<prefix>_<secret>`: the prefix finds the row, the secret proves the right to it.
Only an HMAC of the secret is kept, under a pepper that is not in the database.

An integration's key is 32 letters and digits, which is what senders made for other systems expect:
the first ten are its prefix, the other 22 (113 bits) its secret.
"""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime

from shared.refusals import Invalid, NotFound, Refusal

MARK = "gs"
PREFIX_BYTES = 5
SECRET_BYTES = 32
ALPHABET = string.ascii_lowercase + string.digits
INTEGRATION_PREFIX, INTEGRATION_LENGTH = 10, 32

_INTEGRATION_KEY = re.compile(f"[a-z0-9]{{{INTEGRATION_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: never its secret."""

    id: str
    name: str
    prefix: str
    hash: str
    scopes: frozenset[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    last_used_at: datetime | None = None
    integration_id: str | None = None
    """Whose key it is, where it is an integration's."""

    def active(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Presented:
    """The two parts of a key that a caller shows."""

    prefix: str
    secret: str


class KeyUnknown(NotFound):
    """No key has this id."""


class KeyExpiresInThePast(Invalid):
    """The key would never be valid."""


class LastAdminKey(Refusal):
    """Revoking it would lock everybody out of the administration."""


def generate() -> Presented:
    """A new key from the system's randomness; 256 bits of secret."""
    return Presented(secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES))


def text_of(key: Presented) -> str:
    return f"{MARK}_{key.prefix}_{key.secret}"


def generate_for_integration() -> str:
    """The text of a new key of an integration."""
    return "".join(secrets.choice(ALPHABET) for _ in range(INTEGRATION_LENGTH))


def parse(text: str) -> Presented | None:
    """The parts of a key's text, of either kind, or None when it isn't one."""
    if _INTEGRATION_KEY.fullmatch(text):
        return Presented(text[:INTEGRATION_PREFIX], text[INTEGRATION_PREFIX:])
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != MARK or not prefix or not secret or not text.isascii():
        return None
    return Presented(prefix, secret)


def is_strong(text: str) -> bool:
    """Is this the text of a key as `generate` makes them, or does it only look like one?"""
    presented = parse(text)
    return (
        presented is not None
        and len(presented.prefix) == 2 * PREFIX_BYTES
        and len(presented.secret) >= SECRET_BYTES
        and len(set(presented.secret)) > SECRET_BYTES // 4
    )


def fingerprint(pepper: bytes, secret: str) -> str:
    """HMAC-SHA-256 of a secret, in hexadecimal. A secret of 256 random bits needs no slow hash."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256).hex()


def opens(pepper: bytes, key: ApiKey, secret: str) -> bool:
    """Is this the key's secret, whether or not the key is active? Compares in constant time."""
    return hmac.compare_digest(fingerprint(pepper, secret), key.hash)


def is_last_admin(keys: list[ApiKey], key_id: str, now: datetime) -> bool:
    """Does only this key still hold `admin`, for good, as of `now`? One that expires doesn't count."""
    lasting = {
        key.id for key in keys if "admin" in key.scopes and key.active(now) and not key.expires_at
    }
    return lasting == {key_id}
