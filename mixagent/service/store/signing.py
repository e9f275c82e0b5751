"""Addresses that an S3 takes for a while (AWS Signature Version 4, query parameters).

obstore signs too, but not the headers of the answer, and a download is to be called as the song is.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from mixagent.service.naming import disposition

_ALGORITHM = "AWS4-HMAC-SHA256"
_LONGEST_S = 7 * 86_400.0


@dataclass(frozen=True)
class Signature:
    """A key of an S3, and the bucket that it opens.

    Attributes:
        endpoint: scheme and host.
        virtual: whether the bucket is in the host's name; else it is the first folder of the path.
        prefix: of all objects in the bucket.
    """

    endpoint: str
    bucket: str
    prefix: str
    region: str
    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    virtual: bool = False

    @classmethod
    def of_environment(cls, bucket: str, prefix: str) -> Signature | None:
        """The key in the environment; None where there is none, as on machines that have a role instead."""
        found = {name: os.environ.get(f"AWS_{name}") for name in _VARIABLES}
        if not found["ACCESS_KEY_ID"] or not found["SECRET_ACCESS_KEY"]:
            return None
        region = found["REGION"] or found["DEFAULT_REGION"] or "us-east-1"
        endpoint = found["ENDPOINT_URL"] or found["ENDPOINT"]
        return cls(
            endpoint=(endpoint or f"https://{bucket}.s3.{region}.amazonaws.com").rstrip("/"),
            bucket=bucket,
            prefix=prefix,
            region=region,
            key_id=found["ACCESS_KEY_ID"],
            secret=found["SECRET_ACCESS_KEY"],
            token=found["SESSION_TOKEN"],
            virtual=endpoint is None or found["VIRTUAL_HOSTED_STYLE_REQUEST"] == "true",
        )

    def address(
        self, place: str, name: str, media_type: str, seconds: float, at: datetime | None = None
    ) -> str:
        """Where to get an object.

        Args:
            place: of the object, below the prefix.
            name: that the file is saved under.
            media_type: that it is answered as.
            seconds: that the address holds, a week at most.
            at: the time from which; now without it.
        """
        answered = {
            "response-content-disposition": disposition(name, attachment=True),
            "response-content-type": media_type,
        }
        return self._signed(place, answered, seconds, at or datetime.now(UTC))

    def _signed(self, place: str, answered: Mapping[str, str], seconds: float, at: datetime) -> str:
        parts = urlsplit(self.endpoint)
        host = parts.netloc
        folders = [] if self.virtual else [self.bucket]
        path = "/" + quote("/".join([*folders, *filter(None, [self.prefix]), place]), safe="/~")
        time = at.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{time[:8]}/{self.region}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.key_id}/{scope}",
            "X-Amz-Date": time,
            "X-Amz-Expires": str(round(min(seconds, _LONGEST_S))),
            "X-Amz-SignedHeaders": "host",
            **answered,
        }
        if self.token:
            query["X-Amz-Security-Token"] = self.token
        coded = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
        request = "\n".join(["GET", path, coded, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
        text = "\n".join([_ALGORITHM, time, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for word in (time[:8], self.region, "s3", "aws4_request", text):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        return f"{parts.scheme}://{host}{path}?{coded}&X-Amz-Signature={key.hex()}"


_VARIABLES = (
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "SESSION_TOKEN",
    "REGION",
    "DEFAULT_REGION",
    "ENDPOINT",
    "ENDPOINT_URL",
    "VIRTUAL_HOSTED_STYLE_REQUEST",
)
