"""Repairs that run only where their defect is, and leave clean material as it is."""

from mixagent.pipeline.restoration.base import Restored
from mixagent.pipeline.restoration.clipping import declip
from mixagent.pipeline.restoration.declick import declick
from mixagent.pipeline.restoration.denoising import denoise_vocals
from mixagent.pipeline.restoration.offset import remove_offset

__all__ = ["Restored", "declick", "declip", "denoise_vocals", "remove_offset"]
