"""The repairs of a song alone, from request to report: nothing else of it is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mixagent import __version__
from mixagent.manifests import write_json
from mixagent.pipeline.errors import OutputError
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.files import check_room
from mixagent.pipeline.graph.runner import Stage
from mixagent.pipeline.io import BitDepth, FileInfo, check_output, content_hash, encode, probe
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.meters import Loudness, measure
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.pipeline.types import AudioSource, ShowProgress
from mixagent.report.findings import found_rows
from mixagent.report.model import Input, ModelRow, Output, RepairRow
from mixagent.report.repairs import done_words, rejected_words
from mixagent.report.restore_model import RestoredLevels, RestoreReport
from mixagent.report.sounds import RepairSound
from mixagent.session.reporting.build import song_findings, stage_row
from mixagent.session.reporting.repairs import repair_models, repair_rows, repair_sounds
from mixagent.session.results import Results
from mixagent.session.running import Runner, opened_run
from mixagent.session.separators import stem_separator
from mixagent.session.stages import (
    listening_stages,
    repairing_stages,
    restored_stage,
    restored_stems,
    separating_stage,
    stem_repairing_stages,
)
from mixagent.settings import Config, load_config

NOTHING_FOUND = "Nothing to repair was found: the samples are the song's"

_STEMS = 5
_LOSSY = (".mp3", ".ogg")


@dataclass(frozen=True)
class RestoreRequest:
    """The repairs of a song.

    Attributes:
        song: the audio file.
        output: where the repaired song goes; None where it stays in memory.
        repairs: names of those whose defects are looked for. Where one is for stems, the song is taken apart.
        amounts: 0..1 by name, in the place of the repairs' own.
        bit_depth: of wav and flac; None for the song's own, and 32-bit float wav where rebuilt peaks lie over
            full scale.
        device: `auto`, `cpu` or `cuda`.
        seed: of the dither.
        dry_run: write nothing.
    """

    song: Path
    output: Path | None
    repairs: tuple[str, ...]
    amounts: Mapping[str, float] = field(default_factory=dict)
    bit_depth: BitDepth | None = None
    device: str = "auto"
    seed: int = 0
    config: Config = field(default_factory=load_config)
    use_cache: bool = True
    dry_run: bool = False

    @property
    def on_stems(self) -> bool:
        """True where the song is to be taken apart."""
        return any(REPAIRS[name].stems for name in self.repairs)


@dataclass(frozen=True)
class Restoration:
    """A repaired song, readable while its session is open.

    Attributes:
        report: of its repairs.
        before: the song as it came.
        after: the repaired song; the song itself where nothing was found.
        repairs: the sound of each repair, by its stage.
    """

    report: RestoreReport
    before: AudioSource
    after: AudioSource
    repairs: Mapping[str, RepairSound]


@contextmanager
def restore_song(request: RestoreRequest, progress: ShowProgress | None = None) -> Iterator[Restoration]:
    """Repair a song and write it; length, rate, channels, tags and all that has no defect stay as they are.

    Raises:
        UsageError: a format that cannot hold the song, or a separator without stems where some are needed.
        InputError: the song cannot be read.
        ModelMissingError: a model is needed and it is not here.
        OutputError: the file cannot be written; nothing half written is left.
    """
    output = None if request.dry_run else request.output
    if output is not None:
        check_output(output, probe(request.song).rate, request.bit_depth or "24", inputs=[request.song])
    with opened_run(request.config, request.use_cache, progress) as run:
        results, models = _repaired(request, run)
        amounts = {**results.repair_amounts, **request.amounts}
        changed = results.ran("restored")
        after = restored_stems(results, amounts).mix if request.on_stems else results.mix_with(amounts)
        levels = measure(after) if changed else results.heard.analysis
        depth = _bit_depth(request, results.info, levels.sample_peak_dbfs)
        warnings: list[str] = []
        if output is not None:
            warnings += _written(request, after, output, depth, run)
        found = {row.name for row in found_rows(song_findings(results.heard))}
        rows = repair_rows(results, run.events, amounts, found)
        report = RestoreReport(
            version=__version__,
            input=_input(request.song, results.info),
            output=None if output is None else _output(output, depth, results.info),
            dry_run=request.dry_run,
            changed=changed,
            done=tuple(done_words(row) for row in rows if row.applied) or (NOTHING_FOUND,),
            looked_for=request.repairs,
            repairs=rows,
            before=_levels(results.heard.analysis),
            after=_levels(levels),
            models=(*models, *repair_models(results)),
            stages=tuple(stage_row(event, results.get(name)) for name, event in run.events.items()),
            warnings=(
                *results.warnings,
                *rejected_words(rows),
                *_over_full_scale(levels.sample_peak_dbfs, output, depth, rows),
                *warnings,
            ),
        )
        yield Restoration(report, results.song, after, repair_sounds(results, amounts) if changed else {})


def write_restoration(made: Restoration, paths: Sequence[Path]) -> None:
    """Write each report in the format of its suffix, whole or not at all.

    Raises:
        OutputError: the disk is full or refuses the file; it says that the song is written all the same.
    """
    try:
        for path in paths:
            if path.suffix.lower() == ".html":
                from mixagent.report.restore_page import write_restore_page

                write_restore_page(made.report, made.before, made.after, made.repairs, path)
            else:
                write_json(made.report.to_dict(), path)
    except OutputError as error:
        output = made.report.output
        there = "" if output is None else f"; the repaired song is written: {output.path}"
        raise OutputError(f"{error.args[0]}{there}") from error


def _repaired(request: RestoreRequest, run: Runner) -> tuple[Results, list[ModelRow]]:
    """The results of the repairs and of what they changed, and the separator where there was one."""
    stages = listening_stages(request.song)
    decoded = run.stages(stages[:1])
    song, parts = decoded.song, len(request.repairs) + _STEMS * request.on_stems
    needed = parts * song.frames * song.channels * 4
    check_room(run.cache.folder, needed, f"the repairs of {request.song}")
    without = REPAIRS.keys() - request.repairs
    stages += repairing_stages(without, request.config.pipeline.extender)
    models: list[ModelRow] = []
    if request.on_stems:
        separating, stem_names, model = _separating(request, [stage.name for stage in stages[2:]])
        stages += [separating, *stem_repairing_stages(separating.name, stem_names, without)]
        models.append(model)
    own = run.stages(stages).repair_amounts
    measuring = restored_stage([stage.name for stage in stages], {**own, **request.amounts})
    return run.stages([*stages, measuring]), models


def _separating(request: RestoreRequest, repairs: Sequence[str]) -> tuple[Stage, Sequence[str], ModelRow]:
    choice = stem_separator(request.config, request.device)
    stage = separating_stage(choice.separator, request.device, "decode", *repairs)
    row = ModelRow(stage=stage.name, name=choice.separator.name, why=choice.why)
    return stage, choice.separator.stem_names, row


# --- the file ----------------------------------------------------------------------------------------


def _bit_depth(request: RestoreRequest, info: FileInfo, peak_dbfs: float) -> BitDepth:
    """The depth that was asked for; else the song's own, or what keeps rebuilt peaks over full scale."""
    if request.bit_depth is not None:
        return request.bit_depth
    is_flac = request.output is not None and request.output.suffix.lower() == ".flac"
    if is_flac:
        return "16" if info.bit_depth is not None and info.bit_depth <= 16 else "24"
    if peak_dbfs > 0.0 or (info.bit_depth or 0) > 24:
        return "32f"
    return "16" if info.bit_depth is not None and info.bit_depth <= 16 else "24"


def _written(
    request: RestoreRequest, after: AudioSource, output: Path, depth: BitDepth, run: Runner
) -> tuple[str, ...]:
    return encode(
        after,
        output,
        depth,
        seed=request.seed,
        inputs=[request.song],
        tags_from=request.song,
        progress=lambda share: run.show("write", share),
    )


def _over_full_scale(
    peak_dbfs: float, output: Path | None, depth: BitDepth, rows: Sequence[RepairRow]
) -> list[str]:
    """A warning of peaks over full scale, and what became of them."""
    if peak_dbfs <= 0.0 or output is None or not any(row.applied for row in rows):
        return []
    over = f"rebuilt peaks stand up to {peak_dbfs:.1f} dB over full scale"
    if output.suffix.lower() in _LOSSY:
        return [f"{over}: players clip them; write wav, or master the song"]
    if depth == "32f":
        return [f"{over}: 32-bit float keeps them, and a master brings them under its ceiling"]
    return [f"{over} and were clipped again: write 32-bit float wav to keep them"]


def _input(song: Path, info: FileInfo) -> Input:
    return Input(
        path=str(song),
        sha256=content_hash(song),
        format=info.container,
        rate=info.rate,
        channels=info.channels,
        frames=info.frames,
        duration_s=info.frames / info.rate,
    )


def _output(path: Path, depth: BitDepth, info: FileInfo) -> Output:
    return Output(
        path=str(path),
        format=path.suffix[1:].lower(),
        bit_depth=depth,
        rate=info.rate,
        sha256=content_hash(path),
    )


def _levels(levels: Loudness | Analysis) -> RestoredLevels:
    return RestoredLevels(
        integrated_lufs=finite_or_none(levels.integrated_lufs),
        true_peak_dbtp=finite_or_none(levels.true_peak_dbtp),
        sample_peak_dbfs=finite_or_none(levels.sample_peak_dbfs),
    )
