"""Passwords: what is taken for one, and argon2 hashes of them."""

from __future__ import annotations

import functools
import secrets
import unicodedata

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from mixagent.service.problems import Problem

SHORTEST, LONGEST = 10, 500
"""Characters of a password."""


def check_password(password: str, user: str) -> None:
    """Hold a new password against the rules (after NIST SP 800-63B: length, and no rules of composition).

    Raises:
        Problem: it is too short, too long, or the name over again.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Problem("usage", f"a password has {SHORTEST} to {LONGEST} characters", field="password")
    is_name = user.casefold() in password.casefold() and len(password) < 2 * len(user)
    if is_name or len(set(password)) < 3:
        raise Problem("usage", "the password is too easily guessed: give another", field="password")


def hashed(password: str) -> str:
    """The argon2id hash of a password, with its salt and costs."""
    return _hasher().hash(_normal(password))


def verified(password: str, known: str | None) -> tuple[bool, str | None]:
    """Hold a password against a hash.

    It takes as long where there is none to hold it against, so that nobody learns who has an account.

    Returns:
        Whether it is the one, and a hash to be kept in place of the known one, where its costs are of old.
    """
    try:
        right, better = _hasher().verify_and_update(_normal(password), known or _nobody())
    except PwdlibError:
        return False, None
    return right and known is not None, better


def _normal(password: str) -> str:
    # What looks the same on two keyboards is the same.
    return unicodedata.normalize("NFKC", password)


@functools.cache
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(),))


@functools.cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe())
