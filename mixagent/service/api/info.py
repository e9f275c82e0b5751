"""What the service is, what options may be, what a goal means."""

from __future__ import annotations

import functools
from typing import Any

from fastapi import APIRouter

from mixagent import __version__
from mixagent.pipeline.errors import MixagentError
from mixagent.service.api.schemas import PROBLEMS, GoalText
from mixagent.service.api.security import Reader, ServiceDep
from mixagent.service.jobs.kinds import KINDS
from mixagent.service.problems import of_error

router = APIRouter(prefix="/v1", tags=["service"], responses=PROBLEMS)


@router.get("")
def about(service: ServiceDep, caller: Reader) -> dict[str, Any]:
    """Engine, who asks, limits."""
    limits = service.settings.limits
    return {
        "engine_name": "mixagent",
        "engine_version": __version__,
        "accounts": service.settings.accounts,
        "user": caller.user,
        "scopes": list(caller.scopes),
        "kinds": list(KINDS),
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "duration_s": limits.duration_s,
            "shortest_s": limits.shortest_s,
            "songs": limits.songs,
            "queued": limits.queued,
            "running": limits.running,
            "minutes_a_day": limits.minutes_a_day,
            "stored_bytes": limits.stored_bytes,
        },
        "kept_s": {
            "uploads": service.settings.retention.uploads_s,
            "jobs": service.settings.retention.jobs_s,
        },
        "formats": ["wav", "flac", "mp3", "ogg", "aiff", "m4a"],
    }


@router.get("/choices")
def choices(caller: Reader) -> dict[str, Any]:
    """What options may be: kinds with their options as JSON schemas, targets, profiles, repairs."""
    return _choices()


@functools.cache
def _choices() -> dict[str, Any]:
    from mixagent.pipeline.matching.library import GENRE, shipped_names, shipped_profile
    from mixagent.restoring.known import known_repairs
    from mixagent.session.reporting.delivery import targets_report

    repairs = known_repairs().to_dict()["repairs"]
    profiles = [{"name": f"{GENRE}{name}", "about": shipped_profile(name).about} for name in shipped_names()]
    return {
        "kinds": {name: kind.options.model_json_schema(by_alias=True) for name, kind in KINDS.items()},
        "targets": targets_report().to_dict()["targets"],
        "profiles": profiles,
        "repairs": repairs,
        "amounts": ["eq", "dynamics", "width", "saturation", "restore"],
        "separators": ["auto", "embedded", "spleeter", "none"],
    }


@router.post("/goals")
def goal(body: GoalText, caller: Reader) -> dict[str, Any]:
    """What is understood of a goal in words."""
    from mixagent.pipeline.matching.goals import understood

    try:
        found = understood(body.text)
    except MixagentError as error:
        raise of_error(error) from error
    return {
        "text": found.text,
        "understood": [{"words": wish.words, "as": wish.label, "steps": wish.steps} for wish in found.wishes],
        "genres": [{"words": words, "profile": profile} for words, profile in found.genres],
        "loudness_lu": found.loudness_lu,
        "not_understood": [{"words": word, "did_you_mean": near or None} for word, near in found.unknown],
        "conflicts": [list(pair) for pair in found.conflicts],
    }
