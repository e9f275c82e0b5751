"""A small OpenID provider on a port of its own: it signs in whomever the test says, and checks PKCE."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode

import uvicorn
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from starlette.responses import JSONResponse, RedirectResponse

CLIENT, SECRET = "mixagent", "the client's secret"


class Provider:
    """The provider.

    Attributes:
        person: what it says of who signs in.
        claims: of the next id token, in place of the right ones.
        in_token: whether the mail stands in the token, and not in the userinfo alone.
        denies: whether nobody is signed in.
        key: that it signs with; `called` is what it calls it, where that is not its name.
        published: keys that it tells of.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self.person = {"sub": "4711", "email": "anna@example.org", "email_verified": True}
        self.claims: dict = {}
        self.in_token, self.denies, self.algorithm = True, False, "RS256"
        self.key, self.called = RSAKey.generate_key(2048, {"kid": "one"}), None
        self.published = [self.key]
        self._codes: dict[str, dict] = {}
        self._tokens: set[str] = set()
        self.app = FastAPI()
        self.app.add_api_route("/.well-known/openid-configuration", self._metadata)
        self.app.add_api_route("/keys", self._keys)
        self.app.add_api_route("/authorize", self._authorize)
        self.app.add_api_route("/token", self._token, methods=["POST"])
        self.app.add_api_route("/userinfo", self._userinfo)

    def new_key(self) -> None:
        """Sign with a new key from now on."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})
        self.published = [self.key]

    async def _metadata(self) -> dict:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    async def _keys(self) -> dict:
        return KeySet(self.published).as_dict(private=False)

    async def _authorize(self, request: Request):
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        back = {"state": asked["state"]}
        if self.denies:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe()
            self._codes[back["code"]] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 303)

    async def _token(self, request: Request):
        sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self._codes.pop(sent.get("code", ""), None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(sent["code_verifier"].encode()).digest())
        if (
            asked is None
            or request.headers.get("Authorization") != f"Basic {basic}"
            or sent["redirect_uri"] != asked["redirect_uri"]
            or proof.rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe()
        self._tokens.add(access)
        at = round(time.time())
        said = self.person if self.in_token else {"sub": self.person["sub"]}
        claims = {
            **{"iss": self.issuer, "aud": CLIENT, "iat": at, "exp": at + 300, "nonce": asked["nonce"]},
            **said,
            **self.claims,
        }
        key = OctKey.import_key(SECRET * 3) if self.algorithm == "HS256" else self.key
        header = {"alg": self.algorithm, "kid": self.called or self.key.kid}
        token = jwt.encode(header, claims, key, algorithms=[self.algorithm])
        return {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token}

    async def _userinfo(self, request: Request):
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return JSONResponse({"error": "invalid_token"}, 401)
        return self.person


@contextmanager
def provided() -> Iterator[Provider]:
    """A provider at its address."""
    provider = Provider()
    config = uvicorn.Config(provider.app, port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    provider.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join()
