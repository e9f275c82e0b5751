"""mixagent: automatic mixing and mastering, with an account of what was done.

The functions here are the product; the command line is one of their users.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixagent.api import album, analyze, compare, master, replay, restore, split, vocals
    from mixagent.pipeline.errors import (
        CancelledError,
        InputError,
        MixagentError,
        ModelMissingError,
        OutputError,
        UsageError,
    )
    from mixagent.pipeline.types import Audio
    from mixagent.results import (
        AlbumResult,
        AnalysisResult,
        ComparisonResult,
        Finding,
        Levels,
        MasterResult,
        Move,
        OutputFile,
        ReplayResult,
        RestoreResult,
        SplitResult,
    )
    from mixagent.types import Cancel, Event

__version__ = "0.1.0"

_PUBLIC = {
    "mixagent.api": ("album", "analyze", "compare", "master", "replay", "restore", "split", "vocals"),
    "mixagent.pipeline.errors": (
        "CancelledError",
        "InputError",
        "MixagentError",
        "ModelMissingError",
        "OutputError",
        "UsageError",
    ),
    "mixagent.pipeline.types": ("Audio",),
    "mixagent.results": (
        "AlbumResult",
        "AnalysisResult",
        "ComparisonResult",
        "Finding",
        "Levels",
        "MasterResult",
        "Move",
        "OutputFile",
        "ReplayResult",
        "RestoreResult",
        "SplitResult",
    ),
    "mixagent.types": ("Cancel", "Event"),
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "AlbumResult",
    "AnalysisResult",
    "Audio",
    "Cancel",
    "CancelledError",
    "ComparisonResult",
    "Event",
    "Finding",
    "InputError",
    "Levels",
    "MasterResult",
    "MixagentError",
    "ModelMissingError",
    "Move",
    "OutputError",
    "OutputFile",
    "ReplayResult",
    "RestoreResult",
    "SplitResult",
    "UsageError",
    "__version__",
    "album",
    "analyze",
    "compare",
    "master",
    "replay",
    "restore",
    "split",
    "vocals",
]


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first asked for: this file is read before any part of the package."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixagent' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
