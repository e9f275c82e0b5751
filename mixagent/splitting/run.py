"""Songs written as their stems: from request to an account of each, one song after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixagent.manifests import is_whole, read_account, write_json
from mixagent.pipeline.decibels import amplitude_to_db, db_to_amplitude
from mixagent.pipeline.errors import InputError
from mixagent.pipeline.graph.runner import Stage, program_version
from mixagent.pipeline.io import BitDepth, content_hash
from mixagent.pipeline.separation import STEM_SETS, Choice, resolve_device
from mixagent.pipeline.types import AudioSource, Combination, ShowProgress
from mixagent.session.running import Runner, opened_run
from mixagent.session.separators import stem_separator
from mixagent.session.stages import listening_stages, separating_stage
from mixagent.settings import Config, load_config
from mixagent.song_files import ACCOUNT
from mixagent.splitting.judging import (
    SILENT_PEAK_DBFS,
    chosen_stems,
    judge_stems,
    peak_dbfs,
    song_warnings,
    warning,
)
from mixagent.stem_files import STEM_BIT_DEPTH, StemFile, StemFormat, stem_files, write_stems

SCHEMA = "mixagent.split/2"

NORMALISED_PEAK_DBFS = -1.0
"""Where the highest sample of all stems comes to lie when they are normalised."""


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
    def account(self) -> Path:
        """The file that says what was done, and by which a second run knows that it is done."""
        return self.folder / (self.song.stem + ACCOUNT)


def split_songs(
    requests: Sequence[SplitRequest],
    progress: ShowProgress | None = None,
    done: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Split each song; one that cannot be read does not stop the others.

    Args:
        requests: one for each song.
        progress: called for each stage, and as "songs" for all of them.
        done: called with the account of each song when its files are there.

    Returns:
        An object of schema `SCHEMA`: the accounts as `songs`, and those that `failed`, each with a line.

    Raises:
        MixagentError: what would stop every song: the model, the options, the disk. Where there is
            one song only, its own errors too.
    """
    songs: list[Mapping[str, Any]] = []
    failed: list[dict[str, str]] = []
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
            failed.append({"song": str(request.song), "error": str(error)})
    return {"schema": SCHEMA, "songs": songs, "failed": failed}


def split_song(request: SplitRequest, progress: ShowProgress | None = None) -> dict[str, Any]:
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
    before = read_account(request.account)
    if before.get("key") == key and is_whole(before, request.folder):
        return {**before, "status": "unchanged"}
    names = STEM_SETS[request.stems] if request.stems else choice.separator.stem_names
    if request.stems != 2:
        names = (*names, "residual")
    with (
        stem_files(request.song, request.folder, names, request.written_as) as files,
        opened_run(request.config, request.use_cache, progress) as run,
    ):
        parts, account = _separated(request, choice, run)
        account["warnings"] += _left_over(before, files, request.folder)
        return _written(request, parts, files, {**account, "key": key}, run.show)


def _separated(
    request: SplitRequest, choice: Choice, run: Runner
) -> tuple[dict[str, AudioSource], dict[str, Any]]:
    """What is to be written, by name, and the account so far."""
    decoding, _ = listening_stages(request.song)
    separating = separating_stage(
        choice.separator, request.device, "decode", shifts=request.shifts, seed=request.seed
    )
    judging = Stage("judge stems", judge_stems, ("decode", "separate"), {"set": request.stems})
    results = run.stages([decoding, separating, judging])
    stems, judged = chosen_stems(results, request.stems), results["judge stems"].values
    residual_dbfs, ran = judged["residual_peak_dbfs"], run.events["separate"]
    parts = dict(stems.parts)
    if residual_dbfs is not None and residual_dbfs > SILENT_PEAK_DBFS:
        parts["residual"] = stems.residual
    account = {
        "song": str(request.song),
        "status": "split",
        "duration_s": round(stems.mix.frames / stems.mix.rate, 3),
        "integrated_lufs": judged["integrated_lufs"],
        "model": {"name": choice.separator.name, "version": choice.separator.version, "why": choice.why},
        "device": resolve_device(request.device),
        "device_peak_bytes": results["separate"].values.get("device_peak_bytes"),
        "shifts": request.shifts,
        "seconds": round(ran.seconds, 3),
        "from_cache": ran.status == "cached",
        "stems": judged["stems"],
        "residual_peak_dbfs": residual_dbfs,
        "warnings": song_warnings(results),
    }
    return parts, account


# --- writing ----------------------------------------------------------------------------------------


def _written(
    request: SplitRequest,
    parts: Mapping[str, AudioSource],
    files: Mapping[str, Path],
    account: dict[str, Any],
    show: ShowProgress,
) -> dict[str, Any]:
    """The files written, and the account of them finished."""
    gain_db = _gain_db(request, parts)
    gain = db_to_amplitude(gain_db)
    scaled = {name: Combination(((gain, part),)) if gain_db else part for name, part in parts.items()}
    files = {name: files[name] for name in parts}
    # Gone before the files change: it must never vouch for others.
    request.account.unlink(missing_ok=True)
    written = write_stems(scaled, files, request.song, show, request.written_as)
    for name, file in written.items():
        account["warnings"] += [warning("tags", line, name) for line in file.warnings]
        account["warnings"] += _over_full_scale(name, file, request)
    account |= {
        "gain_db": gain_db,
        "format": request.format,
        "bit_depth": None if request.format in ("mp3", "ogg") else request.written_as.bit_depth,
        "files": {name: str(path) for name, path in files.items()},
        "bytes": {name: path.stat().st_size for name, path in files.items()},
    }
    write_json(account, request.account)
    return account


def _gain_db(request: SplitRequest, parts: Mapping[str, AudioSource]) -> float:
    """The gain that normalises all parts together; 0 where it was not asked for or all is silent."""
    if not request.normalise:
        return 0.0
    peaks = [peak for part in parts.values() if (peak := peak_dbfs(part)) is not None]
    return round(NORMALISED_PEAK_DBFS - max(peaks), 2) if peaks else 0.0


def _over_full_scale(name: str, file: StemFile, request: SplitRequest) -> list[dict[str, Any]]:
    """What became of samples over full scale."""
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


def _left_over(before: Mapping[str, Any], files: Mapping[str, Path], folder: Path) -> list[dict[str, Any]]:
    """A warning about files of an earlier split which this one does not replace."""
    names = {Path(path).name for path in before.get("files", {}).values()} - {p.name for p in files.values()}
    left = sorted(name for name in names if (folder / name).exists())
    if not left:
        return []
    text = f"{folder} also holds files of an earlier split: {', '.join(left)}"
    return [warning("left_over", text)]
