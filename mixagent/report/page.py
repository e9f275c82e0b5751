"""The report as one HTML file that needs nothing else: no network, no fonts, no second file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from mixagent.pipeline.types import AudioSource
from mixagent.report import charts, words
from mixagent.report.actions import Answer, answers
from mixagent.report.conducting import explained
from mixagent.report.frame import template, write_whole
from mixagent.report.listening import choose_excerpt, listening_rate
from mixagent.report.measures import band_rows, measure_rows, translation_rows
from mixagent.report.model import (
    AimRow,
    FeedbackSection,
    FindingRow,
    Findings,
    ParameterRow,
    PlatformRow,
    RenderRow,
    RepairRow,
    Report,
    StemsSection,
    StripRow,
)
from mixagent.report.player import Player, Side, build_player, longest_s
from mixagent.report.repair_page import RepairShown, Solo, repairs_shown, solos
from mixagent.report.repairs import done_words
from mixagent.report.sounds import NO_SOUNDS, MixSound, RepairSound
from mixagent.report.spectrogram import CHANGE_DB, HIGH_HZ, LOW_HZ, RANGE_DB, Spectrograms, spectrograms
from mixagent.report.stem_player import stem_sides


def write_page(
    report: Report,
    before: AudioSource,
    after: AudioSource,
    path: Path,
    repairs: Mapping[str, RepairSound] = NO_SOUNDS,
    mix: MixSound | None = None,
) -> None:
    """Write the report of a master as one self-contained HTML page.

    Args:
        report: of the master.
        before: the input as it was heard, any rate and length.
        after: the master.
        path: where the page goes; it is written beside and renamed into place.
        repairs: the sound of each repair, by its stage.
        mix: the sound of the stems; None where there is none.

    Raises:
        OutputError: the page cannot be written.
    """
    write_whole(path, render_page(report, before, after, repairs, mix))


def render_page(
    report: Report,
    before: AudioSource,
    after: AudioSource,
    repairs: Mapping[str, RepairSound] = NO_SOUNDS,
    mix: MixSound | None = None,
) -> str:
    """The page's HTML."""
    sides, alone = _sides(report), solos(report.restoration, repairs)
    player = _player(report, before, after, alone, mix)
    return template("page.html").render(
        report=report,
        data=report.to_dict(),
        kind="report",
        scripts=["report.js"],
        title=Path(report.input.path).name,
        player=player,
        repairs=_repairs(report, repairs, alone, player),
        strips=_strips(report, player),
        charts=_charts(report, sides),
        gauges=[] if sides is None else charts.gauges(sides),
        spectrograms=_spectrograms(report, before, after),
        findings=_findings(report.findings, report.restoration),
        properties=[words.property_words(row) for row in report.properties],
        verdict=words.verdict(report),
        tracks=_tracks(report.stems_in),
        chain=_chain(report.decision.parameters),
        done=_done(report),
        graphic=_graphic(report.decision.parameters),
        strengths=words.strengths_words(report.decision.strengths),
        conductor=None if report.decision.conductor is None else explained(report.decision.conductor),
        feedback=_feedback(report.feedback),
        translation=translation_rows([report.translation, report.translation_after]),
        platforms=_platforms(report.platforms, report.target.name),
        codecs=[]
        if report.codecs is None
        else [(row, words.codec_words(row)) for row in report.codecs.checks],
        measures=measure_rows([report.before, report.after]),
        bands=band_rows([report.before, report.after]),
    )


def _player(
    report: Report,
    before: AudioSource,
    after: AudioSource,
    alone: Mapping[str, Solo],
    mix: MixSound | None,
) -> Player | None:
    """The player, or `None` for an input without a sample."""
    duration_s = min(before.frames / before.rate, after.frames / after.rate)
    if duration_s == 0:
        return None
    sides = (
        Side("before", "A", "Before", "before", before, report.before.integrated_lufs),
        Side("after", "B", "After", "after", after, report.after.integrated_lufs),
        *(solo.side for solo in alone.values()),
    )
    excerpt = choose_excerpt(duration_s, report.after.short_term_lufs, longest_s(len(alone)))
    stems = None if mix is None else stem_sides(mix, _start_s(report), excerpt)
    return build_player(sides, excerpt, listening_rate(after.rate), "after", stems)


def _start_s(report: Report) -> float:
    """Where the page's time, which is the master's, begins in the song."""
    return report.edits.trimmed_start_s if report.preview is None else report.preview.start_s


def _repairs(
    report: Report, sounds: Mapping[str, RepairSound], alone: Mapping[str, Solo], player: Player | None
) -> list[RepairShown]:
    excerpt = None if player is None else player.excerpt
    return repairs_shown(
        report.restoration, sounds, alone, excerpt, _start_s(report), report.input.duration_s
    )


@dataclass(frozen=True)
class StripShown:
    """A stem on the page: its row, its name, its confidence in words, and whether the player has it."""

    row: StripRow
    title: str
    confidence: str
    heard: bool


def _strips(report: Report, player: Player | None) -> list[StripShown]:
    heard = set() if player is None or player.stems is None else {stem.name for stem in player.stems.stems}
    return [
        StripShown(row, words.place_label(row.stem), words.confidence_words(row), row.stem in heard)
        for row in report.strips
    ]


def _sides(report: Report) -> charts.Sides | None:
    """Both sides against finished music; None where one is silent."""
    judged, before, after = report.judged, report.measures.before, report.measures.after
    if judged is None or before is None or after is None:
        return None
    return charts.Sides(judged, before, after)


def _charts(report: Report, sides: charts.Sides | None) -> dict[str, charts.Chart | None]:
    # The master's time has no room for what was trimmed off.
    start_s, end_s = report.edits.trimmed_start_s, report.edits.trimmed_end_s
    loudness = {
        "before": report.before.short_term_lufs[round(start_s) :],
        "after": report.after.short_term_lufs,
    }
    duration_s = report.input.duration_s - start_s - end_s
    drawn: dict[str, charts.Chart | None] = {
        "loudness": charts.loudness_chart(loudness, duration_s, report.target.integrated_lufs),
        **dict.fromkeys(("tone", "width", "tone_change", "width_change")),
    }
    if sides is not None:
        drawn["tone"] = charts.tone_chart(sides)
        drawn["width"] = charts.width_chart(sides)
        drawn["tone_change"] = charts.change_chart(sides, "tone")
        drawn["width_change"] = charts.change_chart(sides, "width")
    return drawn


@dataclass(frozen=True)
class SpectrogramsShown:
    """The spectrograms with the ticks of their axes and the spans of their colours in dB."""

    images: Spectrograms
    x_ticks: tuple[charts.Tick, ...]
    y_ticks: tuple[charts.Tick, ...]
    range_db: int
    change_db: int


def _spectrograms(report: Report, before: AudioSource, after: AudioSource) -> SpectrogramsShown | None:
    images = spectrograms(before, after, (report.before.integrated_lufs, report.after.integrated_lufs))
    if images is None:
        return None
    seconds = min(source.frames / source.rate for source in (before, after))
    return SpectrogramsShown(
        images,
        charts.time_ticks(0.0, seconds),
        charts.height_ticks(LOW_HZ, HIGH_HZ),
        round(RANGE_DB),
        round(CHANGE_DB),
    )


@dataclass(frozen=True)
class FindingShown:
    """A fault or defect with both sides.

    Attributes:
        finding: of the song, or of the master where it is only there.
        title: its name.
        found, severity: in the song.
        found_after, severity_after: in the master.
        then: the master's sentence, where that is another.
        answered: what repairs did for it, a clause each.
        pathology: of generated songs, to which it belongs.
        explained: whether this is the first finding of the pathology.
    """

    finding: FindingRow
    title: str
    found: bool
    severity: float
    found_after: bool
    severity_after: float
    then: str | None
    answered: tuple[str, ...]
    pathology: words.Explanation | None
    explained: bool = False


@dataclass(frozen=True)
class FindingsShown:
    """Everything found before or after, gravest first, and what was looked for and not found."""

    found: tuple[FindingShown, ...]
    rest: tuple[FindingShown, ...]


def _findings(findings: Findings, restoration: Sequence[RepairRow]) -> FindingsShown:
    before = {row.name: row for row in findings.before}
    after = {row.name: row for row in findings.after}
    rows = [
        _finding(before.get(name), after.get(name), restoration) for name in dict.fromkeys([*before, *after])
    ]
    found = [row for row in rows if row.found or row.found_after]
    rest = [row for row in rows if not (row.found or row.found_after)]
    found.sort(key=lambda row: -max(row.severity, row.severity_after))
    return FindingsShown(tuple(_explained(found)), tuple(rest))


def _finding(
    before: FindingRow | None, after: FindingRow | None, restoration: Sequence[RepairRow]
) -> FindingShown:
    row = before or after
    assert row is not None
    return FindingShown(
        row,
        title=row.name[:1].upper() + row.name[1:],
        found=before is not None and before.found,
        severity=0.0 if before is None else before.severity,
        found_after=after is not None and after.found,
        severity_after=0.0 if after is None else after.severity,
        then=None if after is None or after.sentence == row.sentence else after.sentence,
        answered=tuple(done_words(repair) for repair in restoration if row.name in repair.answers),
        pathology=None if row.pathology is None else words.explanation(row.pathology),
    )


def _explained(rows: Iterable[FindingShown]) -> Iterator[FindingShown]:
    """The same, the first of each pathology with the words for it."""
    known: set[str] = set()
    for row in rows:
        yield row if row.pathology is None or row.pathology.name in known else replace(row, explained=True)
        known |= set() if row.pathology is None else {row.pathology.name}


@dataclass(frozen=True)
class DoneShown:
    """Something that was done: a sentence, or the parts of an answer."""

    words: str
    answer: Answer | None


def _done(report: Report) -> list[DoneShown]:
    acted = {answer.words: answer for answer in answers(report.actions)}
    return [DoneShown(line, acted.get(line)) for line in report.summary.done]


@dataclass(frozen=True)
class PlatformShown:
    """A platform and its treatment of the master in words."""

    platform: PlatformRow
    words: str


@dataclass(frozen=True)
class PlatformsShown:
    """The platforms that matter first, and the rest."""

    first: tuple[PlatformShown, ...]
    rest: tuple[PlatformShown, ...]


def _platforms(rows: Sequence[PlatformRow], target: str) -> PlatformsShown:
    first, rest = words.platforms_first(rows, target)
    parts = (tuple(PlatformShown(row, words.playback_words(row)) for row in part) for part in (first, rest))
    return PlatformsShown(*parts)


def _graphic(parameters: Sequence[ParameterRow]) -> str:
    """How many bands of the graphic equaliser were moved, in words; empty where none were."""
    kinds = ("tone", "width", "balance")
    counts = [
        sum(p.value != p.neutral for p in parameters if p.name.startswith(f"graphic.{kind}_"))
        for kind in kinds
    ]
    told = [f"{count} bands of {kind}" for count, kind in zip(counts, kinds, strict=True) if count]
    return ", ".join(told)


@dataclass(frozen=True)
class TrackShown:
    """One of the user's own tracks: its file, role, how that was found and why, and its loudness."""

    file: str
    label: str
    how: str
    words: str
    lufs: float | None


def _tracks(stems_in: StemsSection | None) -> list[TrackShown]:
    rows = () if stems_in is None else stems_in.tracks
    return [
        TrackShown(row.file, words.role_label(row), row.how, words.track_words(row), row.lufs) for row in rows
    ]


@dataclass(frozen=True)
class FigureShown:
    """A figure that was steered: its band in words, the song's value, and each render's, or out of band."""

    label: str
    unit: str
    fine: str
    song: float | None
    values: tuple[tuple[float, bool], ...]


@dataclass(frozen=True)
class FeedbackShown:
    """The feedback loop: its figures, the changes with the number of their render, and its end."""

    rows: tuple[FigureShown, ...]
    changes: tuple[tuple[int, str], ...]
    kept: int
    ended: str


def _feedback(section: FeedbackSection | None) -> FeedbackShown | None:
    if section is None or not section.renders[0].figures:
        return None
    renders = section.renders
    shown = [aim for aim in section.aims if _is_shown(aim, renders)]
    return FeedbackShown(
        rows=tuple(_figure(aim, section) for aim in shown),
        changes=tuple((row.render, told) for row in renders for told in row.told),
        kept=section.kept,
        ended=section.ended,
    )


def _is_shown(aim: AimRow, renders: Sequence[RenderRow]) -> bool:
    """The many bands of the graphic equaliser are shown only where one was out."""
    is_band = re.fullmatch(r"(tone|width)_\d+", aim.name) is not None
    return aim.name in renders[0].figures and (not is_band or any(_is_out(aim, row) for row in renders))


def _is_out(aim: AimRow, render: RenderRow) -> bool:
    return any(miss.name == aim.name for miss in render.out)


def _figure(aim: AimRow, section: FeedbackSection) -> FigureShown:
    return FigureShown(
        label=aim.label[:1].upper() + aim.label[1:],
        unit=aim.unit,
        fine=words.span_words(aim.low, aim.high),
        song=section.song.get(aim.name),
        values=tuple((row.figures[aim.name], _is_out(aim, row)) for row in section.renders),
    )


@dataclass(frozen=True)
class SettingShown:
    """A parameter with its texts, and its places in percent of the range.

    Attributes:
        parameter: its row in the report.
        label: its name in words.
        text: its value with the unit.
        ends: of the range.
        at: place of the value.
        rest: place of neutral.
        left, span: of the bar between both.
    """

    parameter: ParameterRow
    label: str
    text: str
    ends: tuple[str, str]
    at: float
    rest: float
    left: float
    span: float

    @property
    def is_set(self) -> bool:
        """True where it was moved."""
        return self.parameter.value != self.parameter.neutral


@dataclass(frozen=True)
class PlaceShown:
    """A place of the chain with the parameters that were moved and those left neutral."""

    name: str
    moved: tuple[SettingShown, ...]
    neutral: tuple[SettingShown, ...]


def _chain(parameters: Sequence[ParameterRow]) -> list[PlaceShown]:
    """The chain's places in order; the neutral bands of the graphic equaliser are left out."""
    groups = groupby(parameters, key=lambda row: row.where)
    return [_place(where, [_setting(row) for row in rows]) for where, rows in groups]


def _place(where: str, settings: Sequence[SettingShown]) -> PlaceShown:
    return PlaceShown(
        words.place_label(where),
        tuple(each for each in settings if each.is_set),
        tuple(
            each for each in settings if not each.is_set and not each.parameter.name.startswith("graphic.")
        ),
    )


def _setting(row: ParameterRow) -> SettingShown:
    at, rest = (100 * words.range_position(row, value) for value in (row.value, row.neutral))
    text, low, high = (
        words.parameter_value(value, row.unit, row.low < 0) for value in (row.value, row.low, row.high)
    )
    return SettingShown(
        row, words.parameter_label(row.name), text, (low, high), at, rest, min(at, rest), abs(at - rest)
    )
