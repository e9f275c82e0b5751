"""The report of a master: one tree of frozen dataclasses, of which page, terminal and JSON are views.

The order of the fields is the order of the keys in JSON. What is measured in dB, LU, LUFS or dBTP and is not
there, as in silence, is null in JSON, and −inf where `Analysis` holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.edits import Edits
from mixagent.pipeline.chain.section_settings import SectionSettings
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.io import BitDepth
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.changes import BandGain
from mixagent.pipeline.measure.translation import Bass, Lost
from mixagent.pipeline.multitrack.plan import Balance
from mixagent.report.serial import EXACT, KEY, Json, from_json, to_json

SCHEMA = "mixagent.report/2"
READABLE = (SCHEMA, "mixagent.report/1")
"""The schemas of which a report can be replayed: what a replay needs stands in all of them alike."""

ANALYSIS_SCHEMA = "mixagent.analysis/2"
COMPARISON_SCHEMA = "mixagent.comparison/2"

Scalar = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Input:
    """The song; where the stems' sum is the song, their folder and a hash of all of them."""

    path: str
    sha256: str
    format: str
    rate: int
    channels: int
    frames: int
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file that was written; `rate` in Hz."""

    path: str
    format: str
    bit_depth: BitDepth
    rate: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """A file of the mix as a workstation's project; `format` is reaper, dawproject, or wav for a track's."""

    path: str
    format: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The part of the song that was rendered alone, in seconds."""

    start_s: float
    stop_s: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The report in sentences: faults found, what was done, what of the faults is left, and what is new."""

    wrong: tuple[str, ...]
    done: tuple[str, ...]
    left: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MeasureBand:
    """A measure over finished music: mean, spread, and from where on a fault on either side is found.

    `low` and `high` are None where nothing is looked for.
    """

    mean: float | None
    spread: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The music that the song was held against, and how strictly.

    Attributes:
        against: name of the band.
        songs: how many finished songs it is of.
        alike: how much the song is of their kind, 0..1.
        trust: by group of measures how strictly it was held.
        words: both in a sentence.
        measures: by name.
    """

    against: str
    songs: int
    alike: float
    trust: Mapping[str, float]
    words: str
    measures: Mapping[str, MeasureBand]


@dataclass(frozen=True, kw_only=True)
class FindingRow:
    """A fault that is looked for, or a defect that was found.

    Attributes:
        name: of the fault or defect.
        kind: which of both it is.
        severity: of a fault the probability that it is outside of finished music.
        found: whether it counts.
        place: in the spectrum, in words.
        apart: distance from finished music's mean in `unit`, with its sign; None for a defect.
        unit: of `apart`.
        sentence: it with what was measured.
        pathology: which of the five pathologies of generated songs it belongs to; None for none.
        unanswered: why nothing answers it; None where something does.
    """

    name: str
    kind: Literal["fault", "defect"]
    severity: float
    found: bool
    place: str
    apart: float | None
    unit: str
    sentence: str
    pathology: str | None
    unanswered: str | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Every fault of the song and of the master, gravest first, behind the defects that were found."""

    before: tuple[FindingRow, ...]
    after: tuple[FindingRow, ...]


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A part of a song, in seconds."""

    start_s: float
    stop_s: float


@dataclass(frozen=True, kw_only=True)
class RepairRow:
    """A repair that found its defect: what it found, what it did, and what became of the sound, measured.

    Attributes:
        name: of the repair.
        stem: that it was on; None for the mix.
        stage: of the run that it was.
        applied: False where its result was rejected, or none of it wanted.
        found, done: sentences; `done` says why not where it was not applied.
        amount: share of it that is in the master, 0..1.
        seconds: that it took in this run.
        cached: whether an earlier run had done it.
        answers: names of the findings that it answers.
        share: share of the song's time in which it changed anything; this and what follows is measured on
            the mix or the stem before and after it, and None where it was not applied.
        level_db: power of the difference over that of the mix or stem.
        peak_dbfs: highest sample of the difference.
        bands: third octaves whose level changed.
        passage: the seconds that hold most of the difference.
        values: the figures of the repair itself, by name with their unit.
    """

    name: str
    stem: str | None
    stage: str
    applied: bool
    found: str
    done: str
    amount: float
    seconds: float
    cached: bool
    answers: tuple[str, ...]
    share: float | None
    level_db: float | None
    peak_dbfs: float | None
    bands: tuple[BandGain, ...]
    passage: Passage | None
    values: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class StripRow:
    """A stem, and what became of it in its strip and its bus.

    Attributes:
        stem: its name.
        confidence: the share of it that is expected to be its own, 0..1; None for a track of the
            musician's own, and where nobody asked for it.
        did: what was done, a clause each: measured on the stem before and after, and the sends as set;
            where nobody asked for a report, the settings.
        why: the reasons of what was moved.
        left: why it was left alone, or what speaks against what was done; None where nothing does.
        lufs: loudness before and after; None for silence. This and what follows is None, or empty, where
            nothing was done or nobody asked for it.
        width_db: change of the side's level against the mid's.
        crest_db: change of the highest sample over the mean power.
        bands: third octaves that hold anything of it, the change of the whole included.
    """

    stem: str
    confidence: float | None = None
    did: tuple[str, ...]
    why: tuple[str, ...]
    left: str | None
    lufs: tuple[float | None, float | None] | None = None
    width_db: float | None = None
    crest_db: float | None = None
    bands: tuple[BandGain, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ActionRow:
    """One change of the sound.

    Attributes:
        what: `repair`, `tone`, `width`, `balance`, `effect`, `punch`, `range` or `stems`.
        did: what was done, in words.
        why: in words.
        low_hz, high_hz: the band that changed; None for a change of the whole.
        change: mean change in `unit`; None where there is no such figure.
        most: the largest change, at `most_hz`.
        most_hz: None where there is no such figure.
        unit: of `change` and `most`.
        answers: names of the findings that it answers.
    """

    what: str
    did: str
    why: str
    low_hz: float | None = None
    high_hz: float | None = None
    change: float | None = None
    most: float | None = None
    most_hz: float | None = None
    unit: str = ""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The measures by which song and master are held against finished music; None for silence."""

    before: SongMeasures | None
    after: SongMeasures | None


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of the song that is neither right nor wrong, such as mono."""

    kind: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """A platform as `conf/platforms.toml` has it."""

    platform: str
    title: str
    target_lufs: float
    ceiling_dbtp: float
    normalises: str
    tolerance_lu: float
    official: bool
    source: str
    dated: str


@dataclass(frozen=True, kw_only=True)
class PlatformRow(PlatformFacts):
    """The same, and the playback of a master on it: see `pipeline.finaliser.targets.Playback`."""

    gain_db: float
    integrated_lufs: float
    true_peak_dbtp: float
    over_db: float
    short_lu: float
    refused: bool


@dataclass(frozen=True, kw_only=True)
class CodecCheckRow:
    """Peak and loudness of a render after a lossy codec; None for silence."""

    codec: str
    kbps: int
    true_peak_dbtp: float | None
    integrated_lufs: float | None


@dataclass(frozen=True, kw_only=True)
class CheckedCodec(CodecCheckRow):
    """The same of the master, and by how much its peak is over the ceiling."""

    over_db: float


@dataclass(frozen=True, kw_only=True)
class CodecRenderRow:
    """A render of the finaliser that was checked with codecs."""

    ceiling_dbtp: float | None
    integrated_lufs: float | None
    true_peak_dbtp: float | None
    max_reduction_db: float | None
    checks: tuple[CodecCheckRow, ...]


@dataclass(frozen=True, kw_only=True)
class Codecs:
    """Lossy codecs: those that the ceiling was held through, those not installed, and what they do."""

    held: tuple[str, ...]
    absent: tuple[str, ...]
    checks: tuple[CheckedCodec, ...]
    renders: tuple[CodecRenderRow, ...]


@dataclass(frozen=True, kw_only=True)
class TranslationRow:
    """The losses on one playback system: see `pipeline.measure.translation`."""

    playback: str
    loudness_lost_lu: float
    lost_db: Mapping[str, float]
    cancels_db: Mapping[str, float]
    worst_band: str
    bass: Bass
    masked_s: float
    severity: float
    found: tuple[Lost, ...]
    says: str


@dataclass(frozen=True, kw_only=True)
class EditsMade:
    """Fades, and what was trimmed off the song's ends, in seconds."""

    fade_in_s: float
    fade_out_s: float
    trimmed_start_s: float
    trimmed_end_s: float


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A stage of the run, in the order in which they began.

    Attributes:
        name: of the stage.
        status: how it ended.
        seconds: that it took.
        detail: what it has to say.
        peak_bytes: the most memory that the whole program, with what it started, had while the stage worked;
            None where it was in the cache or the system does not say.
        device_peak_bytes: the most that it held on a GPU; None where it used none.
        beside: stages that ran at some time of it: their memory is in `peak_bytes`.
    """

    name: str
    status: str
    seconds: float
    detail: str | None
    peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """The model that a stage used, and why that one."""

    stage: str
    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class GivenReference:
    """A reference: its weight, what the master was brought towards it in, and its songs."""

    name: str
    weight: float
    dimensions: tuple[str, ...] = field(metadata={KEY: "for"})
    songs: tuple[str, ...]
    integrated_lufs: float


@dataclass(frozen=True, kw_only=True)
class ReferenceRow:
    """A thing that was matched: before, after and in the references.

    Where `reference` is None, `before` and `after` are distances from the references.
    """

    what: str
    unit: str
    before: float
    after: float
    reference: float | None


@dataclass(frozen=True, kw_only=True)
class ReferenceSection:
    """The references, how they were matched, and how near song and master are to them."""

    method: Literal["profile", "matchering"]
    given: tuple[GivenReference, ...]
    rows: tuple[ReferenceRow, ...]


@dataclass(frozen=True, kw_only=True)
class UnderstoodWords:
    """Words of a goal, what they mean, and how many steps of it are asked for.

    Attributes:
        words: of the goal.
        means: what they were taken for.
        steps: how much; under 0 for less.
        scope: the mix, a stem or a section.
        direction: `keep` where it is left as it is, `set` for figures and styles.
        amount: the figure that was named.
        needs_stems: whether the song is taken apart for it.
    """

    words: str
    means: str
    steps: float
    scope: str = "the mix"
    direction: Literal["more", "less", "keep", "set"] = "more"
    amount: str | None = None
    needs_stems: bool = False


@dataclass(frozen=True, kw_only=True)
class GenreWords:
    """Words of a goal and the profile that they stand for."""

    words: str
    profile: str


@dataclass(frozen=True, kw_only=True)
class GoalMove:
    """A parameter that a goal moves, by how much and why."""

    name: str
    by: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class GoalSection:
    """A goal in words as it was understood, and what it moved."""

    text: str
    understood: tuple[UnderstoodWords, ...]
    genres: tuple[GenreWords, ...]
    loudness_lu: float
    moves: tuple[GoalMove, ...]
    not_understood: tuple[str, ...]
    conflicts: tuple[tuple[str, str], ...]
    decided: tuple[str, ...] = ()
    corrected: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SectionRow:
    """A section of the song.

    Attributes:
        start_s, stop_s: its stretch.
        label: its name where that is sure, else `section B`.
        letter: alike for sections that run alike.
        likely: the name that is likeliest, sure or not; empty where none is.
        confidence: of that name, 0..1.
        lufs: loudness in the song as it came; None for silence.
        differs: what it has by itself in the master, a clause each.
    """

    start_s: float
    stop_s: float
    label: str
    letter: str
    likely: str
    confidence: float
    lufs: float | None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrackRow:
    """One of the musician's own tracks.

    Attributes:
        file: its name in the folder, and `path` the whole of it.
        sha256: of its contents.
        role: what it was taken for; `how` that was found and `why` in words.
        side: −1 left, 1 right, 0 neither.
        advance_ms: by how much it was moved earlier.
        inverted: whether its polarity was turned.
        gain_db: that it was given.
        rate, channels, frames: of the file.
        lufs, peak_dbfs: of its sound; None for silence.
    """

    file: str
    path: str
    sha256: str
    role: str
    how: str
    why: str
    side: int
    advance_ms: float
    inverted: bool
    gain_db: float
    rate: int
    channels: int
    frames: int
    lufs: float | None
    peak_dbfs: float | None


@dataclass(frozen=True, kw_only=True)
class StemsSection:
    """The musician's own stems.

    Attributes:
        folder: which they came from.
        is_song: whether their sum is the song.
        align: whether offsets and polarity were undone.
        balance: `auto` or `keep`.
        tracks: a row each.
        pairs: what was found of tracks of one sound, in words.
        left_db: what they leave of the song, against it; None for nothing.
    """

    folder: str
    is_song: bool
    align: bool
    balance: Balance
    tracks: tuple[TrackRow, ...]
    pairs: tuple[str, ...]
    left_db: float | None


@dataclass(frozen=True, kw_only=True)
class SearchSection:
    """A search for better settings: its renders, and the blind reward before and after."""

    method: str
    renders: int
    blind_before: float | None
    blind_after: float
    segments_s: tuple[float, ...]
    segment_s: float


@dataclass(frozen=True, kw_only=True)
class RoundRow:
    """A move of one of the conductor's agents, what its render measured, and whether it stands."""

    agent: str
    values: dict[str, float]
    reason: str
    concern_before: float
    concern_after: float
    blind: float
    kept: bool
    why: str
    before: dict[str, float] = field(default_factory=dict)
    led: bool = False


@dataclass(frozen=True, kw_only=True)
class DeclinedRow:
    """A move of the conductor's to which a person said no."""

    agent: str
    values: dict[str, float]
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExchangeRow:
    """A question to a language model, its answer, and what of it was not followed."""

    sent: str
    answered: str
    seconds: float
    tokens: int
    error: str
    ignored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The language model that led the conductor: where it answered, what it cost, and all that was said.

    `failed` says why its last answer was of no use; empty where it was.
    """

    name: str
    host: str
    tokens: int
    seconds: float
    failed: str
    exchanges: tuple[ExchangeRow, ...]


@dataclass(frozen=True, kw_only=True)
class ConductorSection:
    """What the conductor tried: the blind reward and the voice's opinion scores before and after."""

    renders: int
    blind_before: float | None
    blind_after: float | None
    voice_before: dict[str, float]
    voice_after: dict[str, float]
    until: float | None
    rounds: tuple[RoundRow, ...]
    over: str
    declined: tuple[DeclinedRow, ...] = ()
    model: ModelSection | None = None


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter of the chain with the value that was rendered, and why it was moved."""

    name: str
    unit: str
    where: str
    low: float
    high: float
    neutral: float
    value: float
    purpose: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class DecisionSection:
    """The policy, how much of its decision was applied, and every parameter."""

    policy: str
    amount: float
    strengths: Strengths
    search: SearchSection | None
    conductor: ConductorSection | None = None
    parameters: tuple[ParameterRow, ...]


@dataclass(frozen=True, kw_only=True)
class AimRow:
    """A figure that the feedback loop steers, and its band; an edge may be None."""

    name: str
    label: str
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class MissRow:
    """A figure of a render that is out of band, by how much, and in words."""

    name: str
    excess: float
    words: str


@dataclass(frozen=True, kw_only=True)
class ChangeRow:
    """A parameter that the loop moved, for which aim, and in words."""

    name: str
    before: float
    after: float
    aim: str
    words: str


@dataclass(frozen=True, kw_only=True)
class RenderRow:
    """One render of the feedback loop.

    Attributes:
        render: its number, from 1.
        figures: what was measured of it.
        deviation: from all aims, in tolerances.
        out: what is out of band.
        changes: since the render before.
        told: these in words.
    """

    render: int
    figures: Mapping[str, float]
    deviation: float
    out: tuple[MissRow, ...]
    changes: tuple[ChangeRow, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FeedbackSection:
    """The feedback loop: its aims, the song's figures, every render, which one was kept, and why it ended."""

    aims: tuple[AimRow, ...]
    kept: int
    song: Mapping[str, float]
    renders: tuple[RenderRow, ...]
    ended: str


@dataclass(frozen=True, kw_only=True)
class FinaliserRender:
    """A render of the finaliser; None for silence."""

    gain_db: float | None
    integrated_lufs: float | None
    true_peak_dbtp: float | None
    reduction_db: float | None


@dataclass(frozen=True, kw_only=True)
class FinaliserSection:
    """Gain and limiter, as `pipeline.finaliser.loop.Finish` tells it."""

    gain_db: float
    max_reduction_db: float
    transients_lost_db: float
    tails_lowered_db: float
    renders: tuple[FinaliserRender, ...]


@dataclass(frozen=True, kw_only=True)
class RecordedCodecs:
    """The codecs that the master was checked with, and those that its ceiling was held through."""

    checked: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RecordedMatch:
    """The song that matchering listened to: its path and the hash of its contents."""

    matchering: str
    sha256: str


@dataclass(frozen=True)
class RecordedPlugin:
    """A plug-in as a replay sets it: `pipeline.plugins.inserts.Insert.settings`."""

    settings: Mapping[str, Any]

    def to_json(self) -> Mapping[str, Any]:
        """The settings."""
        return self.settings

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RecordedPlugin:
        """The settings of a plug-in, whose map and preset are read by whom they are for.

        Raises:
            ValueError: it lacks what names it.
        """
        keys = ("slot", "name", "version", "sha256")
        if not isinstance(data, Mapping) or any(not isinstance(data.get(key), str) for key in keys):
            raise ValueError("a plug-in without slot, name, version or sha256")
        return cls(data)


@dataclass(frozen=True, kw_only=True)
class PluginPlace:
    """A plug-in at one place of the chain.

    Attributes:
        place, effect: what it stood in for: `vocals`, `compressor`.
        values: of its parameters that were set, by its keys.
        held: keys that went to the end of their range.
        state_sha256: of all its parameters and its preset.
        reported_latency, latency: in frames, as it says and as it was used.
        same_twice: whether it made the same of a sound twice.
        words: what is to be told of it, to stand behind its name.
    """

    place: str
    effect: str
    values: Mapping[str, Scalar]
    held: tuple[str, ...]
    state_sha256: str
    reported_latency: int
    latency: int
    same_twice: bool
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PluginRow:
    """A plug-in that stood in for effects of the chain.

    Attributes:
        slot: as it was asked for.
        name, version, sha256: of the plug-in, the hash of its code.
        path: of its file.
        preset: its name; None without one.
        preset_sha256: of the preset's state.
        tried: the version that its map was run with; empty where it never was.
        places: where it had something to do.
    """

    slot: str
    name: str
    version: str
    sha256: str
    path: str
    preset: str | None
    preset_sha256: str | None
    tried: str
    places: tuple[PluginPlace, ...]


@dataclass(frozen=True, kw_only=True)
class ReplaySection:
    """The decision before the amount, and every option that reaches a sample.

    An option that an earlier version did not have has its default.
    """

    settings: Mapping[str, float]
    reasons: Mapping[str, str]
    pipeline: Mapping[str, Scalar]
    amount: float
    strengths: Strengths = field(default_factory=Strengths, metadata=EXACT)
    edits: Edits = field(default_factory=Edits, metadata=EXACT)
    codecs: RecordedCodecs = field(default_factory=RecordedCodecs, metadata=EXACT)
    replaygain: bool = False
    dual_mono: bool = False
    sample_rate: int | None
    seed: int
    match: RecordedMatch | None = None
    sections: tuple[SectionSettings, ...] = ()
    plugins: tuple[RecordedPlugin, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of a master, schema `mixagent.report/2`; it holds all that a replay needs.

    Attributes:
        schema, version: of the report and of the program.
        input: the song.
        output: the first file written; None where none was.
        outputs: all of them.
        project: the files of the mix as a workstation's project, those of its tracks last.
        target: of the finaliser.
        dry_run: whether nothing was rendered.
        preview: the part that was rendered, where that is not the whole song.
        met: whether the target was met; `missed` says what was not.
        summary: in sentences.
        judged: None for silence.
        findings: before and after.
        actions: what was done, by what it did to the sound.
        restoration: the repairs of the mix and of stems that found their defect, in their order.
        repairs: what each repair of the chain did, by the parameter that switches it on.
        sections: the sections of the song, where there are more than one.
        strips: the stems, and what was done to each; none where no stems were made.
        measures: those of the findings.
        before, after: loudness, peaks, spectrum and width; `after` is `before` where nothing was rendered.
        properties: of the song.
        platforms: playback of the master on each; none for silence.
        codecs: None where none was checked.
        translation, translation_after: losses on each playback system.
        edits: of the song's ends.
        stages: of the run.
        models: those in use.
        reference, goal, stems_in: None where none was given.
        plugins: that stood in for effects.
        decision: with every parameter.
        feedback: None where the loop was left out.
        finaliser: None where nothing was rendered.
        warnings: for the user.
        replay: what a replay sets.
    """

    schema: str
    version: str
    input: Input
    output: Output | None
    outputs: tuple[Output, ...]
    project: tuple[ProjectFile, ...] = ()
    target: LoudnessTarget
    dry_run: bool = False
    preview: Preview | None = None
    met: bool
    missed: str | None
    summary: Summary
    judged: Judged | None
    findings: Findings
    actions: tuple[ActionRow, ...]
    restoration: tuple[RepairRow, ...] = ()
    repairs: Mapping[str, tuple[BandGain, ...]]
    sections: tuple[SectionRow, ...] = ()
    strips: tuple[StripRow, ...] = ()
    measures: Measures
    before: Analysis
    after: Analysis
    properties: tuple[Property, ...]
    platforms: tuple[PlatformRow, ...]
    codecs: Codecs | None
    translation: tuple[TranslationRow, ...]
    translation_after: tuple[TranslationRow, ...]
    edits: EditsMade
    stages: tuple[StageRow, ...]
    models: tuple[ModelRow, ...]
    reference: ReferenceSection | None
    goal: GoalSection | None
    stems_in: StemsSection | None
    plugins: tuple[PluginRow, ...] = ()
    decision: DecisionSection
    feedback: FeedbackSection | None
    finaliser: FinaliserSection | None
    warnings: tuple[str, ...]
    replay: ReplaySection

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Report:
        """The report that `to_dict` gave.

        Raises:
            ValueError: another schema, or a field that is missing or of another type; it says which.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"the report is not of schema {SCHEMA}")
        return from_json(cls, dict(data))


@dataclass(frozen=True, kw_only=True)
class AnalysedFile:
    """A song's file as its decoder tells it: see `pipeline.io.FileInfo`."""

    path: str
    container: str
    subtype: str
    bit_depth: int | None
    rate: int
    channels: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class AnalysisReport:
    """Measures and findings of one song, schema `mixagent.analysis/2`."""

    schema: str
    version: str
    input: AnalysedFile
    analysis: Analysis
    judged: Judged | None
    findings: tuple[FindingRow, ...]
    properties: tuple[Property, ...]
    translation: tuple[TranslationRow, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Measures and findings of several versions of a song, schema `mixagent.comparison/2`."""

    schema: str
    version: str
    files: tuple[AnalysisReport, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class ComparedVersion(AnalysisReport):
    """A version that can be listened to beside others.

    Attributes:
        letter: its name on the page.
        name: of its file, and `sha256` of the file's contents.
        aligned: whether it was heard to be the same recording as the first version.
        later_s: by how much it comes later than that.
        inverted: whether its polarity is turned against that.
        span_s: start and end in its file of the part that all versions have.
        compared_lufs: loudness of that part; None for silence.
        match_db: gain that brings it to the loudness of the quietest version.
    """

    letter: str
    name: str
    sha256: str
    aligned: bool
    later_s: float
    inverted: bool
    span_s: tuple[float, float]
    compared_lufs: float | None
    match_db: float


@dataclass(frozen=True, kw_only=True)
class ListeningReport:
    """The same of versions that can be listened to, and notes for the listener."""

    schema: str
    version: str
    files: tuple[ComparedVersion, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """The outcome of a replay: the first file, whether its bytes are the report's, and that in words."""

    schema: str = "mixagent.session.replay/1"
    output: Output
    identical: bool
    verdict: str

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))


@dataclass(frozen=True, kw_only=True)
class IntentRow:
    """A target that is no platform."""

    title: str = ""
    source: str = ""
    dated: str = ""
    normalises: str = ""
    platform: str
    target_lufs: float
    ceiling_dbtp: float
    official: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TargetRow(PlatformFacts):
    """A platform with the other names that `--target` takes for it."""

    also: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TargetsReport:
    """Every name that `--target` takes."""

    schema: str = "mixagent.targets/1"
    targets: tuple[IntentRow | TargetRow, ...]

    def to_dict(self) -> dict[str, Json]:
        """The table as JSON values."""
        return cast(dict[str, Json], to_json(self))


# What a replay reads --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RecordedInput:
    """The song of a report."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RecordedOutput:
    """A file of a report's master."""

    path: str
    bit_depth: BitDepth
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RecordedTrack:
    """A track of a report's stems."""

    file: str
    path: str
    role: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RecordedStems:
    """The stems of a report's master."""

    folder: str
    is_song: bool
    align: bool
    balance: Balance
    tracks: tuple[RecordedTrack, ...]


@dataclass(frozen=True, kw_only=True)
class RecordedPolicy:
    """The policy that decided a report's master."""

    policy: str


@dataclass(frozen=True, kw_only=True)
class RecordedMaster:
    """As much of a report, of this schema or the one before, as its master can be rendered again from."""

    schema: str
    version: str
    input: RecordedInput
    output: RecordedOutput
    outputs: tuple[RecordedOutput, ...] = ()
    target: LoudnessTarget = field(metadata=EXACT)
    stems_in: RecordedStems | None = None
    decision: RecordedPolicy
    replay: ReplaySection

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> RecordedMaster:
        """The part of a report that a replay needs.

        Raises:
            ValueError: a field that is missing or of another type; it says which.
            UsageError: strengths or edits out of range.
        """
        return from_json(cls, dict(data))

    @property
    def files(self) -> tuple[RecordedOutput, ...]:
        """Every file of the master; a report of an early version names one."""
        return self.outputs or (self.output,)
