"""The bodies of requests, with examples for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mixagent.service.access import SCOPES
from mixagent.service.accounts.passwords import LONGEST
from mixagent.service.accounts.users import NAME
from mixagent.service.jobs.options import (
    AlbumOptions,
    AnalyzeOptions,
    MasterOptions,
    RestoreOptions,
    Source,
    SplitOptions,
    VocalsOptions,
)
from mixagent.service.webhooks import LEAST_SECRET

_DAY_S = 86_400

Songs = Annotated[list[Source], Field(max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Webhook(_Body):
    """Where the end of a job is told, and the secret that its signature is made with."""

    url: str = Field(max_length=2000, examples=["https://example.org/hook"])
    secret: str = Field(min_length=LEAST_SECRET, max_length=200)


class _Job(_Body):
    uploads: Songs = Field(default_factory=list)
    webhook: Webhook | None = None


class MasterJob(_Job):
    """A master."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "master",
                    "uploads": ["upl_5k2x7v9c4m8d3f6h2j5n7p9r"],
                    "options": {
                        "preset": "streaming",
                        "output_format": ["wav", "mp3"],
                        "goal": "warm, wide",
                        "true_peak_limit_db": -1,
                    },
                },
                {
                    "kind": "master",
                    "uploads": ["upl_5k2x7v9c4m8d3f6h2j5n7p9r"],
                    "options": {"preset": "loud", "preview": 30},
                },
            ]
        }
    )
    kind: Literal["master"]
    options: MasterOptions = Field(default_factory=MasterOptions)


class AnalyzeJob(_Job):
    """Measures and findings."""

    kind: Literal["analyze"]
    options: AnalyzeOptions = Field(default_factory=AnalyzeOptions)


class RestoreJob(_Job):
    """The repairs alone."""

    kind: Literal["restore"]
    options: RestoreOptions = Field(default_factory=RestoreOptions)


class SplitJob(_Job):
    """Stems."""

    kind: Literal["split"]
    options: SplitOptions = Field(default_factory=SplitOptions)


class VocalsJob(_Job):
    """Vocals and instrumental."""

    kind: Literal["vocals"]
    options: VocalsOptions = Field(default_factory=VocalsOptions)


class AlbumJob(_Job):
    """An album as one."""

    kind: Literal["album"]
    options: AlbumOptions = Field(default_factory=AlbumOptions)


NewJob = Annotated[
    MasterJob | AnalyzeJob | RestoreJob | SplitJob | VocalsJob | AlbumJob, Field(discriminator="kind")
]
"""A job to be queued."""


class GoalText(_Body):
    """A goal in words."""

    text: str = Field(min_length=1, max_length=500, examples=["aggressive EDM, less harsh"])


class NewRating(_Body):
    """A verdict on a master."""

    verdict: Literal["better", "worse"]
    than: str = Field(
        default="input",
        pattern=r"^(input|job_[a-z2-9]{24})$",
        description="The song as it came, or another version of it by its job.",
        examples=["input", "job_5k2x7v9c4m8d3f6h2j5n7p9r"],
    )
    note: str = Field(default="", max_length=500, examples=["the voice is too loud"])


class KeyText(_Body):
    """An API key that a session is opened with."""

    key: str = Field(max_length=200)


class NameAndPassword(_Body):
    """Who signs in."""

    name: str = Field(max_length=200, examples=["anna"])
    password: str = Field(max_length=LONGEST)


class OldAndNew(_Body):
    """A password to be changed."""

    old: str = Field(max_length=LONGEST)
    new: str = Field(max_length=LONGEST)


UserName = Annotated[str, Field(pattern=f"^{NAME.pattern}$", examples=["anna"])]
Scopes = Annotated[list[Literal["read", "write", "admin"]], Field(min_length=1, max_length=len(SCOPES))]


class NewUser(_Body):
    """A user to be made."""

    name: UserName
    password: str | None = Field(default=None, max_length=LONGEST)
    scopes: Scopes = ["write"]


class NewPassword(_Body):
    """A password to be set."""

    password: str = Field(max_length=LONGEST)


class NewKey(_Body):
    """An API key to be made."""

    user: UserName
    label: str = Field(default="", max_length=100, examples=["laptop"])
    scopes: Scopes = ["write"]


class NewLink(_Body):
    """A signed link: to a file of a job, or to its page where none is named."""

    file: str | None = Field(default=None, max_length=200)
    expires_s: int = Field(default=7 * _DAY_S, ge=60, le=90 * _DAY_S)


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mixagent:problem:usage"])
    title: str = Field(examples=["An option makes no sense"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["usage"])
    field: str | None = Field(examples=["true_peak_limit_db"])
    detail: str = Field(examples=["true_peak_limit_db=3 is out of range: give -20 to 0 dBTP"])


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": ProblemBody.model_json_schema()}},
    }
}
"""Of every route: what is not an answer is a problem."""
