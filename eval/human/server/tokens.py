"""Secrets of links and cookies: unguessable, and stored as hashes only."""

import hashlib
import hmac
import secrets

TOKEN_BYTES = 24  # 192 bits


def new_token() -> str:
    """Return a secret for a link or a cookie: 32 characters that are safe in URLs."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """Return the sha256 that the database keeps; tokens are random, so a salt adds nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_rater_id() -> str:
    """Return a pseudonym."""
    return f"r_{secrets.token_hex(4)}"


def hash_password(password: str) -> str:
    """Return `salt$hash` by scrypt."""
    salt = secrets.token_hex(16)
    return f"{salt}${_scrypt(password, salt)}"


def check_password(password: str, stored: str) -> bool:
    """Return whether a password has a stored hash, in a time that does not depend on where they differ."""
    salt, _, expected = stored.partition("$")
    return bool(expected) and hmac.compare_digest(_scrypt(password, salt), expected)


def _scrypt(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=1 << 14, r=8, p=1).hex()
