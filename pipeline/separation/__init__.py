"""A mix taken apart into stems: an embedded separator that always works, and Demucs by name."""

from mixagent.pipeline.separation.base import NoSeparator, Progress, Separator
from mixagent.pipeline.separation.choice import NAMES, Choice, choose_separator, resolve_device

__all__ = ["NAMES", "Choice", "NoSeparator", "Progress", "Separator", "choose_separator", "resolve_device"]
