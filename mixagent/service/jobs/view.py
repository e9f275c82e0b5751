"""Rows as the API gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from mixagent.service.store.tables import (
    EXPERIENCE,
    RUNNING,
    ApiKey,
    AuditEntry,
    Job,
    JobFile,
    Rating,
    SignedIn,
    Upload,
    User,
)

INPUT = "input"
"""The song as it came, where a rating names what a master is better than."""


def time_text(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def upload_dict(row: Upload) -> dict[str, Any]:
    """An upload."""
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "kind": row.kind,
        "bytes": row.bytes,
        "received_bytes": row.received_bytes,
        "sha256": row.blob,
        "audio": row.audio,
        "warnings": row.warnings,
        "problem": row.problem,
        "created_at": time_text(row.created_at),
        "expires_at": time_text(row.expires_at),
    }


def job_dict(row: Job, place: int | None = None, left_s: float | None = None) -> dict[str, Any]:
    """A job; `place` and `left_s` are of one that has not ended."""
    progress = {name: value for name, value in row.progress.items() if name != "left_s"}
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "name": row.name,
        "quick": row.quick,
        "uploads": row.uploads,
        "options": row.options,
        "created_at": time_text(row.created_at),
        "started_at": time_text(row.started_at),
        "ended_at": time_text(row.ended_at),
        "place": place,
        "left_s": left_s,
        "attempts": row.attempts,
        "cached": row.cached,
        "cancel_asked": row.cancel_asked,
        "progress": progress if row.state == RUNNING and progress else None,
        "result": row.result,
        "problem": row.problem,
        "files": [file_dict(row.id, file) for file in row.files if file.role != EXPERIENCE],
    }


def file_dict(job: str, row: JobFile) -> dict[str, Any]:
    """A result of a job."""
    url = f"/v1/jobs/{job}/files/{quote(row.name)}"
    return {
        "name": row.name,
        "role": row.role,
        "stem": row.stem,
        "media_type": row.media_type,
        "bytes": row.bytes,
        "sha256": row.blob,
        "audio": row.audio,
        "url": url,
        "peaks_url": f"{url}/peaks" if row.audio else None,
    }


def rating_dict(row: Rating) -> dict[str, Any]:
    """A rating."""
    return {
        "id": row.id,
        "job": row.job,
        "than": row.than or INPUT,
        "verdict": "better" if row.better else "worse",
        "note": row.note,
        "source": row.source,
        "created_at": time_text(row.created_at),
    }


def key_dict(row: ApiKey) -> dict[str, Any]:
    """An API key, but for the key."""
    return {
        "id": row.id,
        "user": row.user,
        "label": row.label,
        "scopes": row.scopes,
        "created_at": time_text(row.created_at),
        "used_at": time_text(row.used_at),
        "revoked_at": time_text(row.revoked_at),
    }


def user_dict(row: User) -> dict[str, Any]:
    """A user, but for the password."""
    return {
        "name": row.name,
        "scopes": row.scopes,
        "has_password": row.password is not None,
        "created_at": time_text(row.created_at),
    }


def session_dict(row: SignedIn, is_this: bool) -> dict[str, Any]:
    """A session; `is_this` says whether it is the one that asks."""
    return {
        "way": row.way,
        "address": row.address,
        "this": is_this,
        "created_at": time_text(row.created_at),
        "used_at": time_text(row.used_at),
        "expires_at": time_text(row.expires_at),
    }


def audit_dict(row: AuditEntry) -> dict[str, Any]:
    """A line of the audit log."""
    return {
        "at": time_text(row.at),
        "user": row.user,
        "key": row.key,
        "what": row.what,
        "about": row.about,
        "address": row.address,
    }
