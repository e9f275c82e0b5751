"""A mix taken apart into stems: an embedded separator that always works, and Demucs by name."""

from mixagent.pipeline.separation.base import NoSeparator, SeparatedStems, Separator
from mixagent.pipeline.separation.choice import (
    NAMES,
    STEM_SETS,
    Choice,
    choose_separator,
    gives,
    resolve_device,
)
from mixagent.pipeline.types import Progress

__all__ = [
    "NAMES",
    "STEM_SETS",
    "Choice",
    "NoSeparator",
    "Progress",
    "SeparatedStems",
    "Separator",
    "choose_separator",
    "gives",
    "resolve_device",
]
