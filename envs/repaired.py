"""Songs as the product's repairs leave them, in memory: what the environment's cases hold."""

from __future__ import annotations

from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.restoration.table import mix_repairs, repaired
from mixagent.pipeline.types import Audio, load


def repaired_mix(mix: Audio) -> Audio:
    """A mix after all repairs of the mix, each with the amount that its own finding asks for."""
    analysis = analyse(mix)
    with scratch_folder() as scratch:
        for repair in mix_repairs():
            done = repaired(repair, mix, analysis, scratch, lambda _: None)
            if done is not None and done[1].applied:
                mix = load(done[1].audio)
    return mix
