"""Songs written as their stems: from request to an account of each, one song after the other."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mixagent.pipeline.audio import AudioSource, Combination, Stems, blocks
from mixagent.pipeline.errors import InputError, OutputError, UsageError
from mixagent.pipeline.files import BitDepth, content_hash
from mixagent.pipeline.graph import Result, Stage, StageContext, program_version
from mixagent.pipeline.separation import STEM_SETS, Choice, choose_separator, resolve_device
from mixagent.progress import ShowProgress
from mixagent.running import Runner, opened_run
from mixagent.settings import Config, load_config
from mixagent.song_files import ACCOUNT, read_account
from mixagent.stages import listening_stages, separating_stage, split_stems
from mixagent.stem_files import STEM_BIT_DEPTH, StemFile, StemFormat, stem_files, write_stems

SCHEMA = "mixagent.split/2"

NORMALISED_PEAK_DBFS = -1.0
"""Where the highest sample of all stems comes to lie when they are normalised."""

SILENT_PEAK_DBFS = -90.0
"""A stem whose peak is lower is silent; such a residual is not written: the stems alone sum to the song."""

SILENT_SHARE_DB = -40.0
"""A stem with less of the song's energy is as good as silent."""

LOW_CONFIDENCE = 0.6
"""Less of a stem than this is expected to be its own."""

FAINT_LU = 25.0
"""A stem so far below the song may be nothing but what leaked into it."""

SHORT_S = 3.0
QUIET_LUFS = -50.0


@dataclass(frozen=True)
class SplitRequest:
    """What to write of a song's stems.

    Attributes:
        song: the audio file.
        folder: where the files go; it is made.
        stems: a key of `STEM_SETS`; None for whatever the separator gives.
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
    if before.get("key") == key and _is_whole(before, request.folder):
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


def stem_separator(
    config: Config, device: str, stems: int | None = None, shifts: int = 1, seed: int = 0
) -> Choice:
    """The configured separator, run on several shifts where that was asked for.

    Raises:
        UsageError: it gives no stems, or not these.
        ModelMissingError: a model is needed and it is not here.
    """
    choice = choose_separator(config.pipeline.separator, device, stems)
    if not choice.separator.stem_names:
        raise UsageError("--separator none gives no stems to write")
    if shifts == 1:
        return choice
    from mixagent.pipeline.separation.shifts import ShiftedSeparator

    return replace(choice, separator=ShiftedSeparator(choice.separator, shifts, seed))


def _separated(
    request: SplitRequest, choice: Choice, run: Runner
) -> tuple[dict[str, AudioSource], dict[str, Any]]:
    """What is to be written, by name, and the account so far."""
    decoding, _ = listening_stages(request.song)
    separating = separating_stage(choice.separator, "decode")
    judging = Stage("judge", partial(_judge, request.stems), ("decode", "separate"), {"set": request.stems})
    results = run.stages([decoding, separating, judging])
    stems, judged = _stems(results, request.stems), results["judge"].values
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
        "warnings": _warnings(results),
    }
    return parts, account


def _stems(results: Mapping[str, Result], count: int | None) -> Stems:
    """The stems of a set of `STEM_SETS`: the last of them is all that the set does not name.

    The instrumental is the song without the vocals.
    """
    stems = split_stems(results["decode"].audio("audio"), results["separate"])
    if count is None:
        return stems
    *named, last = STEM_SETS[count]
    parts = {name: stems.parts[name] for name in named}
    rest = [(1.0, part) for name, part in stems.parts.items() if name not in named]
    if count == 2:
        rest = [(1.0, stems.mix), (-1.0, parts["vocals"])]
    return Stems(stems.mix, {**parts, last: Combination(tuple(rest))})


# --- what is known of the stems ---------------------------------------------------------------------


def _judge(count: int | None, context: StageContext) -> dict[str, Any]:
    """Level and confidence of each stem, the song's loudness, and the residual's peak."""
    from mixagent.pipeline.meters import integrated_lufs
    from mixagent.pipeline.separation.confidence import stem_confidence

    stems = _stems(context.inputs, count)
    confidences = stem_confidence(stems, context.inputs["separate"].values.get("agreement_db"))
    judged = {}
    for done, (name, confidence) in enumerate(confidences.items(), 1):
        judged[name] = {
            "integrated_lufs": _finite(integrated_lufs(stems.parts[name])),
            "peak_dbfs": _peak_dbfs(stems.parts[name]),
            "confidence": round(confidence.value, 3),
            "evidence": {key: round(value, 3) for key, value in confidence.evidence.items()},
        }
        context.progress(done / (len(confidences) + 1))
    return {
        "integrated_lufs": _finite(integrated_lufs(stems.mix)),
        "stems": judged,
        "residual_peak_dbfs": None if count == 2 else _peak_dbfs(stems.residual),
    }


def _peak_dbfs(source: AudioSource) -> float | None:
    """The highest sample; None for silence."""
    peak = max((float(abs(block).max(initial=0.0)) for block in blocks(source)), default=0.0)
    return round(20 * math.log10(peak), 2) if peak > 0 else None


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def _warnings(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    judged, mix = results["judge"].values, results["decode"].audio("audio")
    warnings = [_warning("input", line) for line in results["decode"].values["warnings"]]
    duration_s, lufs = mix.frames / mix.rate, judged["integrated_lufs"]
    if duration_s < SHORT_S:
        warnings.append(_warning("short", f"{duration_s:.1f} s are little to tell stems apart by"))
    if not any(_is_heard(stem) for stem in judged["stems"].values()):
        return [*warnings, _warning("silent", "the song is silent, and so is every stem")]
    if lufs is None or lufs < QUIET_LUFS:
        level = "under -70 LUFS" if lufs is None else f"{lufs:.0f} LUFS"
        text = f"the song is very quiet ({level}), and so are its stems: --normalise raises them"
        warnings.append(_warning("quiet", text))
    for name, stem in judged["stems"].items():
        warnings += _stem_warnings(name, stem, lufs)
    return warnings


def _is_heard(stem: Mapping[str, Any]) -> bool:
    return stem["peak_dbfs"] is not None and stem["peak_dbfs"] > SILENT_PEAK_DBFS


def _stem_warnings(name: str, stem: Mapping[str, Any], song_lufs: float | None) -> list[dict[str, Any]]:
    share_db, lufs = stem["evidence"]["share_db"], stem["integrated_lufs"]
    if not _is_heard(stem) or share_db < SILENT_SHARE_DB:
        share = "it holds nothing" if stem["peak_dbfs"] is None else f"it has {share_db:.0f} dB of the energy"
        return [_warning("silent", f"{name} is as good as silent: {share}", name)]
    if song_lufs is not None and (lufs is None or lufs < song_lufs - FAINT_LU):
        far = "" if lufs is None else f", {song_lufs - lufs:.0f} LU below the song"
        return [_warning("faint", f"{name} is faint{far}: it may be what leaked from other stems", name)]
    if stem["confidence"] < LOW_CONFIDENCE:
        text = f"low confidence in {name} ({stem['confidence']:.2f}): expect other stems in it"
        return [_warning("low_confidence", text, name)]
    return []


def _warning(kind: str, text: str, stem: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "stem": stem, "text": text}


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
    gain = 10 ** (gain_db / 20)
    scaled = {name: Combination(((gain, part),)) if gain_db else part for name, part in parts.items()}
    files = {name: files[name] for name in parts}
    # Gone before the files change: it must never vouch for others.
    request.account.unlink(missing_ok=True)
    written = write_stems(scaled, files, request.song, show, request.written_as)
    for name, file in written.items():
        account["warnings"] += [_warning("tags", line, name) for line in file.warnings]
        account["warnings"] += _over_full_scale(name, file, request)
    account |= {
        "gain_db": gain_db,
        "format": request.format,
        "bit_depth": None if request.format in ("mp3", "ogg") else request.written_as.bit_depth,
        "files": {name: str(path) for name, path in files.items()},
        "bytes": {name: path.stat().st_size for name, path in files.items()},
    }
    _write_json(account, request.account)
    return account


def _gain_db(request: SplitRequest, parts: Mapping[str, AudioSource]) -> float:
    """The gain that normalises all parts together; 0 where it was not asked for or all is silent."""
    if not request.normalise:
        return 0.0
    peaks = [peak for part in parts.values() if (peak := _peak_dbfs(part)) is not None]
    return round(NORMALISED_PEAK_DBFS - max(peaks), 2) if peaks else 0.0


def _over_full_scale(name: str, file: StemFile, request: SplitRequest) -> list[dict[str, Any]]:
    """What became of samples over full scale."""
    if file.peak <= 1.0:
        return []
    over = f"{name} peaks {20 * math.log10(file.peak):.1f} dB over full scale"
    if request.format in ("mp3", "ogg"):
        text = f"{over}: players clip it; write wav, or use --normalise"
    elif request.written_as.bit_depth == "32f":
        text = f"{over}: 32-bit float keeps it, a 16 or 24 bit export would clip"
    else:
        text = f"{over} and was clipped: write wav with --bit-depth 32f, or use --normalise"
    return [_warning("clipping", text, name)]


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


def _is_whole(account: Mapping[str, Any], folder: Path) -> bool:
    files = {name: folder / Path(path).name for name, path in account["files"].items()}
    return all(
        path.is_file() and path.stat().st_size == account["bytes"][name] for name, path in files.items()
    )


def _left_over(before: Mapping[str, Any], files: Mapping[str, Path], folder: Path) -> list[dict[str, Any]]:
    """A warning about files of an earlier split which this one does not replace."""
    names = {Path(path).name for path in before.get("files", {}).values()} - {p.name for p in files.values()}
    left = sorted(name for name in names if (folder / name).exists())
    if not left:
        return []
    text = f"{folder} also holds files of an earlier split: {', '.join(left)}"
    return [_warning("left_over", text)]


def _write_json(account: Mapping[str, Any], path: Path) -> None:
    partial_path = path.with_name(f".mixagent-{secrets.token_hex(6)}.json")
    try:
        # In ASCII: a file name need not be valid text.
        partial_path.write_text(json.dumps(account, indent=2, allow_nan=False) + "\n", encoding="ascii")
        partial_path.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial_path.unlink(missing_ok=True)
