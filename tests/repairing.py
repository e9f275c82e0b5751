"""Runs a repair as a session does."""

from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration.base import Restored


def repair(work, source, folder, told=lambda share: None):
    """What a repair makes of a source; the source itself where nothing was found."""
    found = work.find(source, analyse(source), told)
    if found is None:
        return Restored(source, False, "", {})
    return work.run(source, found, folder, told)
