"""`mixagent compare`: versions of a song measured side by side, and made ready to be listened to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixagent import __version__
from mixagent.manifests import write_json
from mixagent.pipeline.chain.edits import Span, section
from mixagent.pipeline.errors import UsageError, option
from mixagent.pipeline.figures import finite_or_none
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.finaliser.album_levels import BOTH_SPEAKERS_LU
from mixagent.pipeline.io import content_hash, resample
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.multitrack.versions import Offset, common_spans, offset_of
from mixagent.pipeline.types import AudioSource, ShowProgress
from mixagent.report.model import (
    COMPARISON_SCHEMA,
    AnalysisReport,
    ComparedVersion,
    ComparisonReport,
    ListeningReport,
)
from mixagent.report.player import match_db
from mixagent.session.reporting.build import analysis_report
from mixagent.session.running import Runner, opened_run
from mixagent.session.stages import listening_stages
from mixagent.settings import load_config

LETTERS = "ABCDEFGHIJ"
"""Names of the versions on a page, and the keys that choose them: L and M have another meaning."""

_ALIGNED_S = 0.0005


@dataclass(frozen=True)
class Comparison:
    """Versions of a song.

    Attributes:
        found: the report.
        sides: what is compared of each version: the part that all have, where it lies in its file.
    """

    found: ListeningReport
    sides: tuple[AudioSource, ...]


def compare_songs(files: Sequence[Path], progress: ShowProgress | None = None) -> ComparisonReport:
    """Measures and findings of each file.

    Raises:
        InputError: a file that cannot be read.
    """
    with opened_run(load_config(), True, progress) as run:
        versions = tuple(_analysed(run, file)[0] for file in files)
        return ComparisonReport(schema=COMPARISON_SCHEMA, version=__version__, files=versions)


@contextmanager
def aligned_songs(files: Sequence[Path], progress: ShowProgress | None = None) -> Iterator[Comparison]:
    """The same, and the versions' sound on one time: it can be read while the context is open.

    Raises:
        UsageError: more versions than a page has letters for.
        InputError: a file that cannot be read.
    """
    if len(files) > len(LETTERS):
        raise UsageError(
            f"a page holds {len(LETTERS)} versions, not {len(files)}: compare them in groups, "
            f"or leave {option('report')} out"
        )
    with opened_run(load_config(), True, progress) as run:
        pairs = [_analysed(run, file) for file in files]
        audio = [source for _, source in pairs]
        offsets = [Offset(), *(_offset(audio[0], other, run) for other in audio[1:])]
        spans = common_spans(
            [each or Offset() for each in offsets], [each.frames / each.rate for each in audio]
        )
        sides = tuple(section(source, Span(*span)) for source, span in zip(audio, spans, strict=True))
        levels = _levels_lufs(sides)
        matched = match_db(dict(zip(LETTERS, levels, strict=False)))
        versions = tuple(
            _compared(found, letter, offsets[k], spans[k], levels[k], matched[letter])
            for k, (letter, (found, _)) in enumerate(zip(LETTERS, pairs, strict=False))
        )
        report = ListeningReport(
            schema=COMPARISON_SCHEMA,
            version=__version__,
            files=versions,
            notes=(*_notes(versions), *_same(versions)),
        )
        yield Comparison(report, sides)


def write_comparison(comparison: Comparison, paths: Sequence[Path]) -> None:
    """Write each report of a comparison, as `write_reports`."""
    for path in paths:
        if path.suffix.lower() == ".html":
            from mixagent.report.compare_page import write_compare_page

            write_compare_page(comparison.found, comparison.sides, path)
        else:
            write_json(comparison.found.to_dict(), path)


def _analysed(run: Runner, file: Path) -> tuple[AnalysisReport, AudioSource]:
    results = run.stages(listening_stages(file))
    return analysis_report(file, results), results.song


def _offset(first: AudioSource, other: AudioSource, run: Runner) -> Offset | None:
    run.show("align", 0.0)
    with scratch_folder() as scratch:
        found = offset_of(first, resample(other, first.rate, scratch / "resampled.f32"))
    run.show("align", 1.0)
    return found


def _levels_lufs(sides: Sequence[AudioSource]) -> list[float | None]:
    """Loudness of what is compared; mono among stereo as it sounds from two loudspeakers."""
    stereo = any(side.channels > 1 for side in sides)
    levels = [
        integrated_lufs(side) + (BOTH_SPEAKERS_LU if stereo and side.channels == 1 else 0.0) for side in sides
    ]
    return [finite_or_none(level) for level in levels]


def _compared(
    found: AnalysisReport,
    letter: str,
    offset: Offset | None,
    span: tuple[float, float],
    lufs: float | None,
    matched_db: float,
) -> ComparedVersion:
    """A version with its place beside the others."""
    path, (start_s, stop_s) = Path(found.input.path), span
    return ComparedVersion(
        **vars(found),
        letter=letter,
        name=path.name,
        sha256=content_hash(path),
        aligned=offset is not None,
        later_s=0.0 if offset is None else round(offset.later_s, 6),
        inverted=offset is not None and offset.inverted,
        span_s=(round(start_s, 6), round(stop_s, 6)),
        compared_lufs=lufs,
        match_db=matched_db,
    )


def _notes(versions: Sequence[ComparedVersion]) -> list[str]:
    """What a listener should know of the offsets of the versions."""
    first, *others = versions
    notes = []
    for version in others:
        name = f"{version.letter} ({version.name})"
        if not version.aligned:
            notes.append(f"{name} is not heard to be the same recording as A: both play from their starts")
        elif abs(version.later_s) >= _ALIGNED_S:
            side = "later" if version.later_s > 0 else "earlier"
            notes.append(f"{name} comes {abs(version.later_s):.3f} s {side} than A, which is undone here")
        if version.inverted:
            notes.append(f"{name} has its polarity turned against A, and is left so")
    lengths = {version.input.frames / version.input.rate for version in versions}
    if max(lengths) - min(lengths) >= _ALIGNED_S:
        start_s, stop_s = first.span_s
        notes.append(
            f"the versions differ in length; what all of them have is compared, {stop_s - start_s:.1f} s"
        )
    return notes


def _same(versions: Sequence[ComparedVersion]) -> list[str]:
    """Versions that are one file: whoever hears a difference hears none."""
    groups: dict[str, list[str]] = {}
    for version in versions:
        groups.setdefault(version.sha256, []).append(version.letter)
    return [
        f"{' and '.join(letters)} are the same file: nobody can tell them apart"
        for letters in groups.values()
        if len(letters) > 1
    ]
