"""The stages that listen to references and match a mix to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixagent.pipeline.analysis import Analysis, analyse
from mixagent.pipeline.audio import AudioSource, Combination, blocks, spool
from mixagent.pipeline.files import content_hash, decode
from mixagent.pipeline.graph import Stage, StageContext, audio_reference
from mixagent.pipeline.meters import integrated_lufs
from mixagent.pipeline.references.curve import FLAT, MatchCurve, match_curve, matching_processors
from mixagent.pipeline.references.library import heard, read_profile, shipped_profile
from mixagent.pipeline.references.matched import LONGEST_S, check_matchering, match
from mixagent.pipeline.references.profile import MONO_DB, Profile, profile_of
from mixagent.pipeline.streaming import process_blocks
from mixagent.references import Aims, Reference, References, aims
from mixagent.running import Runner

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


@dataclass(frozen=True)
class Match:
    """How a mix is matched: by a curve that is known, by matchering, or by the curve that aims give.

    Attributes:
        aims: whose tone and width.
        curve: what a replay does again.
        matchering: the song that matchering listens to.
    """

    aims: Aims | None = None
    curve: MatchCurve | None = None
    matchering: Path | None = None


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
    analyses = {name: Analysis.from_json(found["analysis"]) for name, found in values.items()}
    profiles = {
        reference.name: _profile(reference, values[reference.name]["sha256"], analyses[reference.name])
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
    return Stage(name, partial(_listen, reference.path, sha256), settings={"sha256": sha256})


def _listen(path: Path, sha256: str, context: StageContext) -> dict[str, Any]:
    analysis, warnings = heard(path, context.directory / "song.f32", context.progress)
    return {"sha256": sha256, "analysis": analysis.to_json(), "warnings": list(warnings)}


def _profile(reference: Reference, sha256: str, analysis: Analysis) -> Profile:
    return profile_of(Path(reference.name).name, {sha256: analysis})


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
    if max(song.side_ratio_db.values()) <= MONO_DB:
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


def matching_stage(match: Match, tone: float, width: float) -> Stage:
    """The stage that matches the mix; it leaves `audio` and `curve`, and is skipped where nothing is to do.

    Args:
        match: how.
        tone: how much of the tone, 0 to 1; matchering is one thing, of which this says how much.
        width: how much of the width.
    """
    if match.matchering is not None:
        sha256 = content_hash(match.matchering)
        settings: dict[str, Any] = {"matchering": sha256, "amount": tone}
        return Stage("match", partial(_by_matchering, match.matchering, tone), ("mix",), settings)
    wanted = None if match.aims is None else asdict(match.aims)
    curve = None if match.curve is None else asdict(match.curve)
    settings = {"aims": wanted, "curve": curve, "tone": tone, "width": width}
    return Stage("match", partial(_by_profile, match, tone, width), ("mix",), settings)


def _by_profile(match: Match, tone: float, width: float, context: StageContext) -> dict[str, Any] | None:
    mix = context.inputs["mix"].audio("audio")
    curve = match.curve or _curve(mix, match.aims)
    processors = matching_processors(curve.scaled(tone, width), mix.rate, mix.channels)
    if not processors:
        return None
    parts = process_blocks(mix, processors)
    audio = spool(parts, context.directory / "matched.f32", mix.rate, mix.channels)
    return {"audio": audio_reference(audio), "curve": asdict(curve), "why": "tone and width by profile"}


def _curve(mix: AudioSource, wanted: Aims | None) -> MatchCurve:
    measured = analyse(mix)
    if wanted is None or not math.isfinite(measured.integrated_lufs):
        return FLAT
    return match_curve(profile_of("the mix", {"": measured}), wanted.tone, wanted.width)


def _by_matchering(path: Path, amount: float, context: StageContext) -> dict[str, Any]:
    mix, folder = context.inputs["mix"].audio("audio"), context.directory
    reference = decode(path, folder / "decoded.f32").audio
    matched = match(mix, reference, folder, context.progress)
    audio = matched
    if amount < 1.0:
        # At equal loudness, or the louder of the two would take more than its share.
        gain = 10 ** ((integrated_lufs(mix) - integrated_lufs(matched)) / 20)
        blend = Combination(((1.0 - amount, mix), (amount * gain, matched)))
        audio = spool(blocks(blend), folder / "blended.f32", mix.rate, mix.channels)
    for file in {reference.path, matched.path} - {audio.path}:
        file.unlink()
    return {
        "audio": audio_reference(audio),
        "curve": None,
        "matchering": str(path.absolute()),
        "sha256": content_hash(path),
        "why": "tone, width and level by matchering",
    }
