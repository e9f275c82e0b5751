"""The stages that make stems of a musician's tracks, and what the report says of them.

The tracks are decoded, named, placed (`pipeline.multitrack`) and summed by role (`pipeline.placing`);
from there on they are stems like any others.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixagent.pipeline.decibels import amplitude_to_db, power_to_db
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.graph.runner import Result, Stage, StageContext, audio_reference
from mixagent.pipeline.io import content_hash, decode, probe, resample
from mixagent.pipeline.io.decoding import SHORTEST_S, FileInfo
from mixagent.pipeline.measure.meters import EnergyMeter, gated_loudness
from mixagent.pipeline.multitrack.placement import Placement, Plan, summed
from mixagent.pipeline.multitrack.plan import Track, Wish, plan
from mixagent.pipeline.types import AudioSource, Combination, DiskAudio, Progress, blocks, spool
from mixagent.report.model import StemsSection, TrackRow
from mixagent.session.results import Results
from mixagent.session.stems_in import StemsIn

NULL_DB = -40.0
"""Level of what the stems leave of a song, against it, from which they are said not to be its stems."""

CONTAINER = "STEMS"
"""Stands for the file's format where the stems' sum is the song."""

_ENERGIES = "energies.npz"


def stems_in_stages(stems_in: StemsIn, song: Stage | None, amount: float) -> list[Stage]:
    """The stages up to what becomes of each track, `tracks` and `place`, and to the song, `decode`.

    Args:
        stems_in: the tracks.
        song: the stage that decodes the song that they belong to; without one their sum is the song.
        amount: at 0 the tracks are summed as they are.

    Raises:
        InputError: a track that is no audio file.
    """
    infos = _probed(stems_in.files)
    rate = None if song else _common_rate(infos)
    hashes = [content_hash(file) for file in stems_in.files]
    given = ("decode",) if song else ()
    align = stems_in.align and amount > 0
    decided: dict[str, Any] = {
        "names": [file.name for file in stems_in.files],
        "roles": dict(stems_in.roles),
        "align": align,
        "balance": stems_in.balance,
    }
    decoding = Stage(
        "tracks",
        decode_tracks,
        given,
        {"sha256": hashes, "rate": rate},
        given={"paths": [str(file) for file in stems_in.files]},
    )
    placing = Stage(
        "place", place_tracks, ("tracks", *given), decided, given={"folder": str(stems_in.folder)}
    )
    return [song or Stage("decode", sum_of_tracks, ("tracks", "place")), decoding, placing]


def parts_stage() -> Stage:
    """The stage that sums the tracks by role; its result is read like a separation's."""
    return Stage("stems", stems_of_tracks, ("decode", "tracks", "place"))


def plan_of(placed: Result) -> Plan:
    """The plan that the stage `place` left."""
    values = dict(placed.values)
    rows = tuple(Placement(**row) for row in values.pop("placements"))
    return Plan(rows, values["channels"], values["frames"], tuple(values["warnings"]), tuple(values["pairs"]))


def _probed(files: Sequence[Path]) -> list[FileInfo]:
    """What each file says of itself.

    Raises:
        InputError: names the first that cannot be read, and how many there are.
    """
    found, refused = [], []
    for file in files:
        try:
            found.append(probe(file))
        except InputError as error:
            refused.append(error.args[0])
    if refused:
        more = f"; {len(refused) - 1} more of {len(files)} tracks cannot be read" if len(refused) > 1 else ""
        raise InputError(refused[0] + more)
    return found


def _common_rate(infos: Sequence[FileInfo]) -> int:
    """The rate that most tracks have; of equals the highest."""
    counts = Counter(info.rate for info in infos)
    return max(counts, key=lambda rate: (counts[rate], rate))


def decode_tracks(context: StageContext) -> dict[str, Any]:
    """Every track decoded, at one rate, and measured; two at a time."""
    files = [Path(path) for path in context.given["paths"]]
    rate = context.settings["rate"] or context.inputs["decode"].audio("audio").rate
    shares = [0.0] * len(files)

    def track(k: int) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
        def shown(share: float) -> None:
            shares[k] = share
            context.progress(sum(shares) / len(shares))

        return _track(files[k], context.directory / f"{k:03d}", rate, shown)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(files))) as pool:
        done = list(pool.map(track, range(len(files))))
    np.savez(context.directory / _ENERGIES, *(energies for _, energies in done))
    return {"tracks": [values for values, _ in done]}


def _track(file: Path, to: Path, rate: int, shown: Progress) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    decoded = decode(file, to.with_suffix(".raw"), lambda share: shown(0.8 * share), shortest_s=0.0)
    audio = resample(decoded.audio, rate, to.with_suffix(".f32"))
    if audio is not decoded.audio:
        decoded.audio.path.unlink()
    assert isinstance(audio, DiskAudio)
    meter, peak = EnergyMeter.k_weighted(rate, audio.channels), 0.0
    for block in blocks(audio):
        meter.update(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    lufs = gated_loudness(meter.energies)
    shown(1.0)
    return {
        "audio": audio_reference(audio),
        "info": asdict(decoded.info),
        "warnings": list(decoded.warnings),
        "lufs": finite_or_none(lufs),
        "peak_dbfs": amplitude_to_db(peak) if peak > 0 else None,
    }, meter.energies


def _read_tracks(decoded: Result, names: Sequence[str]) -> list[Track]:
    with np.load(decoded.directory / _ENERGIES) as energies:
        return [
            Track(
                name=Path(name).stem,
                audio=_audio(decoded, k),
                lufs=-math.inf if row["lufs"] is None else row["lufs"],
                peak_dbfs=-math.inf if row["peak_dbfs"] is None else row["peak_dbfs"],
                energies=energies[f"arr_{k}"],
            )
            for k, (name, row) in enumerate(zip(names, decoded.values["tracks"], strict=True))
        ]


def _audio(decoded: Result, k: int) -> DiskAudio:
    found = decoded.values["tracks"][k]["audio"]
    return DiskAudio(decoded.directory / found["file"], found["rate"], found["channels"], found["frames"])


def place_tracks(context: StageContext) -> dict[str, Any]:
    """The role, the offset and the level of each track."""
    decoded, song = context.inputs["tracks"], context.inputs.get("decode")
    names, roles = context.settings["names"], context.settings["roles"]
    wish = Wish(
        roles={k: roles[name] for k, name in enumerate(names) if name in roles},
        align=context.settings["align"],
        balance=context.settings["balance"],
        song=song.audio("audio") if song else None,
    )
    tracks = _read_tracks(decoded, names)
    made = plan(tracks, wish, context.progress)
    if made.frames < SHORTEST_S * tracks[0].audio.rate:
        raise InputError(f"{context.given['folder']} is too short: none of its tracks lasts {SHORTEST_S} s")
    warnings = (*_decoding_words(decoded.values["tracks"], song is not None), *made.warnings)
    return asdict(replace(made, warnings=warnings))


def _decoding_words(rows: Sequence[Mapping[str, Any]], has_song: bool) -> Iterator[str]:
    for row in rows:
        yield from row["warnings"]
    rate = rows[0]["audio"]["rate"]
    others = Counter(row["info"]["rate"] for row in rows if row["info"]["rate"] != rate)
    for other, count in sorted(others.items()):
        verb = "was" if count == 1 else "were"
        whose = "the song's " if has_song else ""
        yield f"{count} of {len(rows)} tracks at {other} Hz {verb} resampled to {whose}{rate} Hz"


def _sources(context: StageContext) -> tuple[list[AudioSource], Plan]:
    decoded = context.inputs["tracks"]
    return [_audio(decoded, k) for k in range(len(decoded.values["tracks"]))], plan_of(
        context.inputs["place"]
    )


def sum_of_tracks(context: StageContext) -> dict[str, Any]:
    """The mix: the sum of all tracks in it."""
    tracks, made = _sources(context)
    mix = _spooled(summed(tracks, made), context, "song", 1.0, 0.0)
    info = FileInfo(CONTAINER, "FLOAT", 32, mix.rate, mix.channels, mix.frames)
    return {"audio": audio_reference(mix), "info": asdict(info), "warnings": []}


def stems_of_tracks(context: StageContext) -> dict[str, Any]:
    """The sum of the tracks of each role, and what all of them leave of a song that was given."""
    tracks, made = _sources(context)
    parts = {}
    for done, role in enumerate(made.roles):
        share = 1 / (len(made.roles) + 1)
        part = _spooled(summed(tracks, made, role), context, role, share, done * share)
        parts[role] = audio_reference(part)
    song = context.inputs["decode"]
    left_db = None if _is_sum(song) else _left_db(song.audio("audio"), summed(tracks, made))
    return {"parts": parts, "left_db": left_db}


def _is_sum(song: Result) -> bool:
    """Whether the song is the sum of the tracks, and not a file."""
    return bool(song.values["info"]["container"] == CONTAINER)


def _spooled(source: AudioSource, context: StageContext, name: str, share: float, before: float) -> DiskAudio:
    done = 0

    def shown() -> Iterator[Any]:
        nonlocal done
        for block in blocks(source):
            yield block
            done += block.shape[1]
            context.progress(before + share * done / max(source.frames, 1))

    return spool(shown(), context.directory / f"{name}.f32", source.rate, source.channels)


def _left_db(song: AudioSource, tracks: AudioSource) -> float | None:
    """Level of what the tracks leave of the song, in dB against it; None where that is nothing."""
    rest = Combination(((1.0, song), (-1.0, tracks)))
    left, whole = (
        sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks(source))
        for source in (rest, song)
    )
    return power_to_db(left / whole) if left > 0 and whole > 0 else None


# --- report ----------------------------------------------------------------------------------------


def stems_section(stems_in: StemsIn, results: Results) -> StemsSection:
    """The report's section `stems_in`."""
    made, decoded = plan_of(results["place"]), results["tracks"].values["tracks"]
    rate = results.song.rate
    rows = zip(stems_in.files, made.placements, decoded, strict=True)
    return StemsSection(
        folder=str(stems_in.folder),
        is_song=_is_sum(results["decode"]),
        align=stems_in.align,
        balance=stems_in.balance,
        tracks=tuple(_track_row(file, placement, row, rate) for file, placement, row in rows),
        pairs=tuple(made.pairs),
        left_db=results["stems"].values["left_db"] if "stems" in results else None,
    )


def _track_row(file: Path, placement: Placement, row: Mapping[str, Any], rate: int) -> TrackRow:
    return TrackRow(
        file=file.name,
        path=str(file),
        sha256=content_hash(file),
        role=placement.role,
        how=placement.how,
        why=placement.why,
        side=placement.side,
        advance_ms=round(1000 * placement.advance / rate, 4),
        inverted=placement.invert,
        gain_db=placement.gain_db,
        rate=row["info"]["rate"],
        channels=row["info"]["channels"],
        frames=row["info"]["frames"],
        lufs=row["lufs"],
        peak_dbfs=row["peak_dbfs"],
    )


def stems_warnings(results: Results, song: Path | None) -> list[str]:
    """What the user should know of the tracks."""
    made = plan_of(results["place"])
    left_db = results["stems"].values["left_db"] if "stems" in results else None
    words = [*made.warnings, *made.pairs]
    if song is not None and left_db is not None and left_db > NULL_DB:
        under = f"{-left_db:.0f} dB under it" if left_db < 0 else f"{left_db:.0f} dB over it"
        words.append(
            f"the stems do not null against {song.name}: what they leave of it lies {under}, "
            "and stays in the mix as it is"
        )
    return words
