"""The stages that listen to references, and the one that has matchering bring a mix towards one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.finished.measures import SongMeasures, is_mono
from mixagent.pipeline.graph.runner import Stage, StageContext, audio_reference
from mixagent.pipeline.io import content_hash, decode
from mixagent.pipeline.matching.library import analysed_song, read_profile, shipped_profile
from mixagent.pipeline.matching.matchering import LONGEST_S, check_matchering, match
from mixagent.pipeline.matching.profiles import AnalysedSong, Profile, profile_of
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.types import Combination, blocks, spool
from mixagent.session.references import Aims, Reference, References, aims
from mixagent.session.running import Runner

LEAST_S = 30.0
"""A song shorter than this says nothing of dynamics: its loudness range is a matter of chance."""


@dataclass(frozen=True)
class Listened:
    """What was found of the references.

    Attributes:
        aims: what they measure, blended.
        profiles: what each measures, by its name.
        matchering: the song for matchering to listen to, where it was asked for and can be.
        warnings: for the user.
    """

    aims: Aims
    profiles: Mapping[str, Profile]
    matchering: Path | None
    warnings: tuple[str, ...]


def listen(references: References, song_s: float, run: Runner) -> Listened:
    """What each reference measures; a song is listened to once and then found in the cache.

    Args:
        references: as asked for.
        song_s: how long the song to be mastered is, in seconds.
        run: runs the stages.

    Raises:
        InputError: a file that is neither a song nor a profile, or silent.
        ModelMissingError: matchering was asked for and is not installed.
        UsageError: a shipped profile that there is not.
    """
    if references.method == "matchering":
        check_matchering()
    songs = [reference for reference in references.all if reference.is_audio]
    stages = {song.name: _listening_stage(number, song) for number, song in enumerate(songs)}
    results = run.stages(list(stages.values()))
    values = {name: results[stage.name].values for name, stage in stages.items()}
    heard_songs = {
        name: AnalysedSong(Analysis.from_json(found["analysis"]), SongMeasures.from_json(found["measures"]))
        for name, found in values.items()
    }
    analyses = {name: song.analysis for name, song in heard_songs.items()}
    profiles = {
        reference.name: profile_of(
            Path(reference.name).name, {values[reference.name]["sha256"]: heard_songs[reference.name]}
        )
        if reference.is_audio
        else stored_profile(reference)
        for reference in references.all
    }
    short = [name for name, analysis in analyses.items() if analysis.duration_s < LEAST_S]
    audio, refused = _for_matchering(references, song_s, analyses)
    warnings = [line for name in values for line in values[name]["warnings"]]
    warnings += [line for name, analysis in analyses.items() for line in _doubts(name, analysis)]
    return Listened(aims(references, profiles, short), profiles, audio, (*warnings, *refused))


def _listening_stage(number: int, reference: Reference) -> Stage:
    assert reference.path is not None
    sha256 = content_hash(reference.path)
    name = f"reference {number + 1}" if number else "reference"
    return Stage(name, listen_to_reference, settings={"sha256": sha256}, given={"path": str(reference.path)})


def listen_to_reference(context: StageContext) -> dict[str, Any]:
    """What a reference measures."""
    song, warnings = analysed_song(
        Path(context.given["path"]), context.directory / "song.f32", context.progress
    )
    return {
        "sha256": context.settings["sha256"],
        "analysis": song.analysis.to_json(),
        "measures": song.measures.to_json(),
        "warnings": list(warnings),
    }


def stored_profile(reference: Reference) -> Profile:
    """The profile that is no song's: from its file, or one that ships.

    Raises:
        InputError: not a profile.
        UsageError: no profile of this name.
    """
    if reference.genre is not None:
        return shipped_profile(reference.genre)
    assert reference.path is not None
    return read_profile(reference.path)


def _doubts(name: str, song: Analysis) -> list[str]:
    """What makes a song a doubtful reference."""
    doubts = []
    if song.duration_s < LEAST_S:
        doubts.append(f"is only {song.duration_s:.1f} s long: its dynamics are not followed")
    if is_mono(song):
        doubts.append("is mono: its width is not followed")
    if song.clipped_runs > 0:
        doubts.append(f"is clipped in {song.clipped_runs} places: the ceiling holds here all the same")
    return [f"the reference {name} {doubt}" for doubt in doubts]


def _for_matchering(
    references: References, song_s: float, songs: Mapping[str, Analysis]
) -> tuple[Path | None, tuple[str, ...]]:
    """The song that matchering can listen to, and a word for the user where it cannot though it was asked."""
    if references.method != "matchering":
        return None, ()
    instead = "tone and width are matched by profile instead"
    if references.tone != references.width or len(references.tone) != 1 or not references.tone[0].is_audio:
        return None, (f"matchering takes one song as its reference, for all of it: {instead}",)
    total_s = song_s + songs[references.tone[0].name].duration_s
    if total_s > LONGEST_S:
        minutes = f"{total_s / 60:.0f} minutes, over the {LONGEST_S / 60:.0f}"
        return None, (f"song and reference last {minutes} that matchering has memory for: {instead}",)
    return references.tone[0].path, ()


def matching_stage(reference: Path, amount: float) -> Stage:
    """The stage `match`, in which matchering gives the mix a song's tone and width; it leaves `audio`.

    Args:
        reference: the song.
        amount: how much of it, 0 to 1.
    """
    settings = {"matchering": content_hash(reference), "amount": amount}
    return Stage("match", match_reference, ("mix",), settings, given={"path": str(reference)})


def match_reference(context: StageContext) -> dict[str, Any]:
    """The mix with the tone and width that matchering takes from a song."""
    path, amount = Path(context.given["path"]), context.settings["amount"]
    mix, folder = context.inputs["mix"].audio("audio"), context.directory
    reference = decode(path, folder / "decoded.f32").audio
    matched = match(mix, reference, folder, context.progress)
    audio = matched
    if amount < 1.0:
        # At equal loudness, or the louder of the two would take more than its share.
        gain = db_to_amplitude(integrated_lufs(mix) - integrated_lufs(matched))
        blend = Combination(((1.0 - amount, mix), (amount * gain, matched)))
        audio = spool(blocks(blend), folder / "blended.f32", mix.rate, mix.channels)
    for file in {reference.path, matched.path} - {audio.path}:
        file.unlink()
    return {
        "audio": audio_reference(audio),
        "matchering": str(path.absolute()),
        "sha256": context.settings["matchering"],
        "why": "tone, width and level by matchering",
    }
