"""Songs written as their stems: from request to a report of each, one song after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixagent.manifests import is_whole, read_manifest, write_json
from mixagent.pipeline.decibels import amplitude_to_db, db_to_amplitude
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.graph.runner import Stage, program_version
from mixagent.pipeline.io import BitDepth, content_hash
from mixagent.pipeline.separation import STEM_SETS, Choice, resolve_device
from mixagent.pipeline.types import AudioSource, Combination, ShowProgress
from mixagent.report.serial import from_json
from mixagent.report.split_model import SplitFailure, SplitModel, SplitReport, SplitSong, SplitWarning
from mixagent.session.results import Results
from mixagent.session.running import Runner, opened_run
from mixagent.session.separators import stem_separator
from mixagent.session.stages import listening_stages, separating_stage
from mixagent.settings import Config, load_config
from mixagent.song_files import MANIFEST
from mixagent.splitting.judging import (
    SILENT_PEAK_DBFS,
    chosen_stems,
    judge_stems,
    judged_stems,
    peak_dbfs,
    song_warnings,
    warning,
)
from mixagent.stem_files import STEM_BIT_DEPTH, StemFile, StemFormat, stem_files, write_stems

NORMALISED_PEAK_DBFS = -1.0
"""The highest sample of all stems when they are normalised."""


@dataclass(frozen=True)
class SplitRequest:
    """What to write of a song's stems.

    Attributes:
        song: the audio file.
        folder: where the files go; it is made.
        stems: a key of `STEM_SETS`; None for all that the separator gives, four where it is chosen too.
        format: wav, flac, mp3 or ogg.
        bit_depth: None is 32 bit float where the format holds it, else 24.
        sample_rate: in Hz; None for the song's own.
        normalise: one gain for all stems, so that the highest sample lies at `NORMALISED_PEAK_DBFS`.
        shifts: how many runs, each on the song shifted at random, are averaged.
        seed: of the shifts and of the dither.
    """

    song: Path
    folder: Path
    stems: int | None = None
    format: str = "wav"
    bit_depth: BitDepth | None = None
    sample_rate: int | None = None
    normalise: bool = False
    shifts: int = 1
    seed: int = 0
    device: str = "auto"
    config: Config = field(default_factory=load_config)
    use_cache: bool = True

    @property
    def written_as(self) -> StemFormat:
        """The files' format."""
        depth = self.bit_depth or ("24" if self.format == "flac" else STEM_BIT_DEPTH)
        return StemFormat(self.format, depth, self.sample_rate, self.seed)

    @property
    def report(self) -> Path:
        """The file of the report, by which a second run knows that it is done."""
        return self.folder / (self.song.stem + MANIFEST)


def split_songs(
    requests: Sequence[SplitRequest],
    progress: ShowProgress | None = None,
    done: Callable[[SplitSong], None] | None = None,
) -> SplitReport:
    """Split each song; one that cannot be read does not stop the others.

    Args:
        requests: one for each song.
        progress: called for each stage, and as "songs" for all of them.
        done: called with each song when its files are there.

    Raises:
        MixagentError: what would stop every song: the model, the options, the disk. Where there is
            one song only, its own errors too.
    """
    songs: list[SplitSong] = []
    failed: list[SplitFailure] = []
    for index, request in enumerate(requests):
        if progress and len(requests) > 1:
            progress("songs", index / len(requests))
        try:
            songs.append(split_song(request, progress))
            if done:
                done(songs[-1])
        except InputError as error:
            if len(requests) == 1:
                raise
            failed.append(SplitFailure(song=str(request.song), error=str(error)))
    return SplitReport(songs=tuple(songs), failed=tuple(failed))


def split_song(request: SplitRequest, progress: ShowProgress | None = None) -> SplitSong:
    """Write a song's stems, and what they leave of it, into a folder; they sum to the song.

    A song that was split with the same settings before, and whose files are all there, is left alone.

    Raises:
        UsageError: a separator that does not give these stems, or a format that cannot hold them.
        ModelMissingError: a model is needed and it is not here.
        InputError: the song cannot be read.
        OutputError: the folder cannot be written to; nothing half written is left.
    """
    choice = stem_separator(request.config, request.device, request.stems, request.shifts, request.seed)
    key = _key(request, choice)
    before = read_manifest(request.report)
    known = _known(before)
    if known is not None and known.key == key and is_whole(before, request.folder):
        return replace(known, status="unchanged")
    names = STEM_SETS[request.stems] if request.stems else choice.separator.stem_names
    if request.stems != 2:
        names = (*names, "residual")
    with (
        stem_files(request.song, request.folder, names, request.written_as) as files,
        opened_run(request.config, request.use_cache, progress) as run,
    ):
        results, parts = _separated(request, choice, run)
        left_over = _left_over(before.get("files", {}).values(), files, request.folder)
        written = _written(request, parts, files, run.show)
        warnings = (*song_warnings(results), *left_over, *written.warnings)
        song = _song(request, choice, run, results, written, key, warnings)
        write_json(song.to_dict(), request.report)
        return song


def _known(before: Mapping[str, object]) -> SplitSong | None:
    """The song as an earlier run left it; None where none did, or another version."""
    try:
        return from_json(SplitSong, before)
    except ValueError:
        return None


def _separated(request: SplitRequest, choice: Choice, run: Runner) -> tuple[Results, dict[str, AudioSource]]:
    """The results of all stages, and the parts to be written by name."""
    decoding, _ = listening_stages(request.song)
    separating = separating_stage(
        choice.separator, request.device, "decode", shifts=request.shifts, seed=request.seed
    )
    judging = Stage("judge stems", judge_stems, ("decode", "separate"), {"set": request.stems})
    results = run.stages([decoding, separating, judging])
    stems, residual_dbfs = chosen_stems(results, request.stems), judged_stems(results).residual_peak_dbfs
    parts = dict(stems.parts)
    if residual_dbfs is not None and residual_dbfs > SILENT_PEAK_DBFS:
        parts["residual"] = stems.residual
    return results, parts


# --- writing ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Written:
    """The files of a song's parts by name, the gain that normalised them, and what to warn of."""

    files: Mapping[str, Path]
    gain_db: float
    warnings: tuple[SplitWarning, ...]


def _written(
    request: SplitRequest, parts: Mapping[str, AudioSource], files: Mapping[str, Path], show: ShowProgress
) -> _Written:
    gain_db = _gain_db(request, parts)
    gain = db_to_amplitude(gain_db)
    scaled = {name: Combination(((gain, part),)) if gain_db else part for name, part in parts.items()}
    files = {name: files[name] for name in parts}
    # Gone before the files change: it must never vouch for others.
    request.report.unlink(missing_ok=True)
    warnings: list[SplitWarning] = []
    for name, file in write_stems(scaled, files, request.song, show, request.written_as).items():
        warnings += [warning("tags", line, name) for line in file.warnings]
        warnings += _over_full_scale(name, file, request)
    return _Written(files, gain_db, tuple(warnings))


def _song(
    request: SplitRequest,
    choice: Choice,
    run: Runner,
    results: Results,
    written: _Written,
    key: str,
    warnings: tuple[SplitWarning, ...],
) -> SplitSong:
    judged, song, ran, separator = (
        judged_stems(results),
        results.song,
        run.events["separate"],
        choice.separator,
    )
    return SplitSong(
        song=str(request.song),
        status="split",
        duration_s=round(song.frames / song.rate, 3),
        integrated_lufs=judged.integrated_lufs,
        model=SplitModel(name=separator.name, version=separator.version, why=choice.why),
        device=resolve_device(request.device),
        device_peak_bytes=results["separate"].values.get("device_peak_bytes"),
        shifts=request.shifts,
        seconds=round(ran.seconds, 3),
        from_cache=ran.status == "cached",
        stems=judged.stems,
        residual_peak_dbfs=judged.residual_peak_dbfs,
        warnings=warnings,
        key=key,
        gain_db=written.gain_db,
        format=request.format,
        bit_depth=None if request.format in ("mp3", "ogg") else request.written_as.bit_depth,
        files={name: str(path) for name, path in written.files.items()},
        bytes={name: path.stat().st_size for name, path in written.files.items()},
    )


def _gain_db(request: SplitRequest, parts: Mapping[str, AudioSource]) -> float:
    """The gain that normalises all parts together; 0 where it was not asked for or all is silent."""
    if not request.normalise:
        return 0.0
    peaks = [peak for part in parts.values() if (peak := peak_dbfs(part)) is not None]
    return round(NORMALISED_PEAK_DBFS - max(peaks), 2) if peaks else 0.0


def _over_full_scale(name: str, file: StemFile, request: SplitRequest) -> list[SplitWarning]:
    """A warning of samples over full scale, and what became of them."""
    if file.peak <= 1.0:
        return []
    over = f"{name} peaks {amplitude_to_db(file.peak):.1f} dB over full scale"
    if request.format in ("mp3", "ogg"):
        text = f"{over}: players clip it; write wav, or normalise"
    elif request.written_as.bit_depth == "32f":
        text = f"{over}: 32-bit float keeps it, a 16 or 24 bit export would clip"
    else:
        text = f"{over} and was clipped: write 32-bit float wav, or normalise"
    return [warning("clipping", text, name)]


# --- what was done before ---------------------------------------------------------------------------


def _key(request: SplitRequest, choice: Choice) -> str:
    """A hash of all that the files depend on."""
    separator, form = choice.separator, request.written_as
    parts = [
        content_hash(request.song),
        program_version(),
        [separator.name, separator.version, request.stems],
        [form.suffix, form.bit_depth, form.rate, form.seed, request.normalise],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _left_over(before: Iterable[str], files: Mapping[str, Path], folder: Path) -> list[SplitWarning]:
    """A warning about files of an earlier split which this one does not replace."""
    names = {Path(path).name for path in before} - {path.name for path in files.values()}
    left = sorted(name for name in names if (folder / name).exists())
    if not left:
        return []
    text = f"{folder} also holds files of an earlier split: {', '.join(left)}"
    return [warning("left_over", text)]
