"""Keeps the secrets that senders sign with. They must be read again, so they are sealed, not hashed.

The key is made from the pepper, which is not in the database: a dump of that alone opens nothing.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

PURPOSE = b"groundswell signing secrets"


class SealBroken(Exception):
    """Sealed under another pepper, or damaged: give the secret anew."""


def seal(pepper: bytes, secret: str) -> str:
    """The secret, readable only with this pepper."""
    return _fernet(pepper).encrypt(secret.encode()).decode()


def unseal(pepper: bytes, sealed: str) -> str:
    """What was sealed. Raises SealBroken."""
    try:
        return _fernet(pepper).decrypt(sealed).decode()
    except InvalidToken as error:
        raise SealBroken("a signing secret was sealed under another pepper") from error


def _fernet(pepper: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hmac.digest(pepper, PURPOSE, hashlib.sha256)))
