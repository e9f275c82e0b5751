"""Signing in by an OpenID provider (OpenID Connect Core 1.0): the code flow with PKCE, state and nonce."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mixagent.pipeline.errors import ModelMissingError
from mixagent.service.access import WRITE, Caller
from mixagent.service.accounts.users import NAME
from mixagent.service.problems import Problem
from mixagent.service.settings import OpenIdSettings
from mixagent.service.store.database import Database, now
from mixagent.service.store.tables import Identity, User

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import OAuth2Client

LOG = logging.getLogger(__name__)

SCOPE = "openid email"
_SIGNED_BY = tuple(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512))
"""Signatures by a key that the provider alone has."""

_TIMEOUT_S = 10.0
_KNOWN_S = 3600.0
_LEEWAY_S = 120


@dataclass(frozen=True)
class Begun:
    """A sign-in that was begun: where the browser goes, and what it has to bring back."""

    url: str
    words: Mapping[str, str]


@dataclass(frozen=True)
class _Provider:
    """A provider's account of itself, and its keys."""

    metadata: Mapping[str, Any]
    keys: Any
    known_at: float


class OpenId:
    """Signs users in by one provider.

    Raises:
        ModelMissingError: the package for it is not installed.
    """

    def __init__(self, settings: OpenIdSettings, database: Database) -> None:
        if find_spec("authlib") is None:
            raise ModelMissingError("authlib is not installed: pip install 'mixagent[openid]'")
        self._settings, self._database = settings, database
        self._provider: _Provider | None = None
        self._lock = threading.Lock()

    def begin(self, redirect_uri: str) -> Begun:
        """The address to which a browser goes to sign in.

        Raises:
            Problem: the provider does not answer.
        """
        words = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                self._known(client).metadata["authorization_endpoint"],
                state=words["state"],
                nonce=words["nonce"],
                code_verifier=words["verifier"],
            )
        return Begun(url, words)

    def end(self, words: Mapping[str, str], answer: Mapping[str, str], redirect_uri: str) -> Caller:
        """The caller who comes back from the provider.

        Args:
            words: of the sign-in that this browser began.
            answer: what the provider sent along with it.
            redirect_uri: as it began.

        Raises:
            Problem: nobody that is known here, or the answer is not to what was asked.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), words["state"].encode()):
            raise Problem("request", "this is no answer to a sign-in of this browser: try again")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise Problem("request", "another provider answered than was asked")
        if "code" not in answer:
            raise Problem("sign_in", "the provider signed nobody in")
        claims = self._claims(words, answer["code"], redirect_uri)
        with self._database.writing() as session:
            user = self._user(session, str(claims["sub"])[:255], _verified_mail(claims))
            return Caller(user.name, tuple(user.scopes))

    def _claims(self, words: Mapping[str, str], code: str, redirect_uri: str) -> Mapping[str, Any]:
        """The provider's claims about who signed in."""
        from authlib.integrations.base_client.errors import OAuthError
        from httpx2 import HTTPError
        from joserfc.errors import JoseError

        try:
            with self._client(redirect_uri) as client:
                provider = self._known(client)
                token = client.fetch_token(
                    provider.metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=words["verifier"],
                )
                claims = self._read(client, provider, token, words["nonce"])
                place = provider.metadata.get("userinfo_endpoint")
                if "email" not in claims and place:
                    more = _told(client, place, with_token=True)
                    # Said of another, it is not said of them.
                    claims |= more if more.get("sub") == claims["sub"] else {}
                return claims
        except (OAuthError, JoseError, HTTPError, ValueError, KeyError) as error:
            LOG.warning("a sign-in by OpenID failed", extra={"why": f"{type(error).__name__}: {error}"})
            raise Problem("sign_in", "what the provider answered does not hold: try again") from error

    def _read(
        self, client: OAuth2Client, provider: _Provider, token: Mapping[str, Any], nonce: str
    ) -> dict[str, Any]:
        """The claims of an id token: signed by the provider, for this service, now, and for this sign-in."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError
        from joserfc.jwk import KeySet

        algorithms = [*_SIGNED_BY]
        try:
            read = jwt.decode(token["id_token"], KeySet.import_key_set(provider.keys), algorithms)
        except InvalidKeyIdError:
            # Providers change their keys.
            keys = self._known(client, anew=True).keys
            read = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms)
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        asked = {
            "nonce": nonce,
            "client_id": self._settings.client_id,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(read.claims, read.header, options, asked)
        claims.validate(now=round(now()), leeway=_LEEWAY_S)
        return dict(claims)

    def _user(self, session: Session, subject: str, mail: str | None) -> User:
        """The user whom the provider vouches for, who is made where that is wanted."""
        issuer = self._settings.issuer
        known = session.get(Identity, (issuer, subject))
        if known is not None:
            return session.get_one(User, known.user)
        user = self._waiting(session, mail)
        if user is None and self._settings.new_users:
            free = mail is not None and session.get(User, mail) is None
            stands_for = hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()
            name = mail if free and mail is not None else f"openid-{stands_for[:24]}"
            user = User(name=name, created_at=now(), served_at=0.0, scopes=[WRITE])
            session.add(user)
            session.flush()
        if user is None:
            raise Problem("scope", "nobody here is known by that account: ask whoever runs this service")
        session.add(Identity(issuer=issuer, subject=subject, user=user.name, created_at=now()))
        return user

    def _waiting(self, session: Session, mail: str | None) -> User | None:
        """A user who was made for this: named as the mail is, without a password, and nobody's yet."""
        user = None if mail is None else session.get(User, mail)
        if user is None or user.password is not None or user.removed_at is not None:
            return None
        taken = session.scalars(select(Identity).where(Identity.user == user.name)).first()
        return None if taken is not None else user

    def _client(self, redirect_uri: str) -> OAuth2Client:
        from authlib.integrations.httpx_client import OAuth2Client

        return OAuth2Client(
            self._settings.client_id,
            self._settings.client_secret,
            scope=SCOPE,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
        )

    def _known(self, client: OAuth2Client, anew: bool = False) -> _Provider:
        """The provider, asked once an hour.

        Raises:
            Problem: it does not answer, or as another.
        """
        from httpx2 import HTTPError

        with self._lock:
            known, at = self._provider, time.monotonic()
            if known is not None and at - known.known_at < _KNOWN_S and not anew:
                return known
            place = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                metadata = _told(client, place)
                keys, named = _told(client, metadata["jwks_uri"]), metadata["issuer"]
            except (HTTPError, ValueError, KeyError) as error:
                LOG.warning("the OpenID provider does not answer", extra={"why": str(error)})
                raise Problem(
                    "busy", "the OpenID provider does not answer: try again later", retry_after_s=10
                ) from error
            if named != self._settings.issuer:
                raise Problem("busy", f"the OpenID provider calls itself {named}: set that as its issuer")
            self._provider = _Provider(metadata, keys, at)
            return self._provider


def _told(client: OAuth2Client, place: str, with_token: bool = False) -> dict[str, Any]:
    """The JSON object at an address of the provider.

    Raises:
        HTTPError, ValueError: there is none.
    """
    found = client.request("GET", place, withhold_token=not with_token).raise_for_status().json()
    if not isinstance(found, dict):
        raise ValueError(f"{place} is no JSON object")
    return found


def _verified_mail(claims: Mapping[str, Any]) -> str | None:
    """The address of mail that a provider has verified, where it can be a user's name."""
    mail = claims.get("email")
    sound = isinstance(mail, str) and claims.get("email_verified") is True
    return mail if sound and isinstance(mail, str) and NAME.fullmatch(mail) else None
