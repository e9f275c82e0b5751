"""The table of stages by name, for whoever runs them in another process."""

from __future__ import annotations

from collections.abc import Mapping

from mixagent.pipeline.graph.runner import Run
from mixagent.session import (
    conducting,
    feedback,
    reference_stages,
    search,
    stages,
    stems_stages,
    strip_stages,
)

STAGES: Mapping[str, Run] = {
    "decode": stages.decode_song,
    "tracks": stems_stages.decode_tracks,
    "place": stems_stages.place_tracks,
    "sum": stems_stages.sum_of_tracks,
    "analyse": stages.analyse_song,
    "sections": stages.hear_sections,
    "repair": stages.repair_song,
    "hear repaired": stages.hear_repaired,
    "repair stem": stages.repair_stem,
    "separate": stages.separate,
    "stems": stems_stages.stems_of_tracks,
    "features": stages.song_features,
    "hear": stages.hear_stem,
    "reference": reference_stages.listen_to_reference,
    "search": search.search_settings,
    "conduct": conducting.conduct_settings,
    "mix": stages.mix,
    "match": reference_stages.match_reference,
    "level": stages.level,
    "album": stages.album_measures,
    "finalise": stages.finalise_mix,
    "restored": stages.measure_restored,
    "repairs": stages.measure_repairs,
    "strips": strip_stages.measure_strips,
    "measure": stages.measure_master,
    "listen": feedback.listen_to_song,
    "judge": feedback.judge_render,
}
"""Every stage of a master, in the order of the data.

A new stage is a function of a `StageContext`, a row here, and its place in the list of a run
(`stages.hearing_stages`, `stages.rendering_stages`).
"""
