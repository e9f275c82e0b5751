"""What the service is, what options may be, what a goal means."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from mixagent import __version__
from mixagent.service.api.schemas import PROBLEMS, GoalText
from mixagent.service.api.security import Reader, ServiceDep
from mixagent.service.jobs.kinds import KINDS

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
    from mixagent.pipeline.matching.reading import understood
    from mixagent.session.guidance import goal_lines

    found = understood(body.text)
    genres = found.genres
    return {
        "text": found.text,
        "understood": [
            {
                "words": piece.words,
                "as": piece.means,
                "steps": piece.steps,
                "spans": piece.spans,
                "scope": asdict(piece.scope),
                "direction": piece.direction,
                "amount": None if piece.amount is None else asdict(piece.amount),
                "needs_stems": piece.scope.stem is not None,
                "without": found.without(piece),
            }
            for piece in found.pieces
            if (piece.words, piece.name) not in genres
        ],
        "genres": [
            {"words": piece.words, "profile": piece.name, "without": found.without(piece)}
            for piece in found.pieces
            if (piece.words, piece.name) in genres
        ],
        "loudness_lu": found.loudness_lu,
        "not_understood": [
            {"words": row.words, "did_you_mean": row.alike or None, "span": [row.start, row.stop]}
            for row in found.unknown
        ],
        "conflicts": [[row.first, row.second] for row in found.conflicts],
        "decided": [row.decided for row in found.conflicts],
        "problems": [*found.problems],
        "corrected": [[row.words, row.read_as] for row in found.corrected],
        "notes": goal_lines(found),
    }
