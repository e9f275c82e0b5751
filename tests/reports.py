"""A report of a master for tests of its views."""

import math

import numpy as np

from mixagent.pipeline.chain.amounts import Strengths
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures, measure_song
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.fingerprint import fingerprint
from mixagent.pipeline.types import Audio
from mixagent.report.actions import Made, actions, answers
from mixagent.report.findings import finding_rows, judged, judged_section
from mixagent.report.model import (
    SCHEMA,
    DecisionSection,
    EditsMade,
    FinaliserRender,
    FinaliserSection,
    Findings,
    Input,
    Measures,
    ModelRow,
    Output,
    ParameterRow,
    Property,
    ReplaySection,
    Report,
    StageRow,
    Summary,
)

RATE = 44_100
SETTINGS = {
    "master.bell_1_hz": 320.0,
    "master.bell_1_db": -3.0,
    "master.low_mid_cut_db": 4.0,
    "vocals.pan": -0.25,
}


def song(seconds: float = 4.0, gain: float = 0.1, channels: int = 2, rate: int = RATE) -> Audio:
    noise = np.random.default_rng(1).standard_normal((channels, round(seconds * rate)))
    return Audio((gain * noise).clip(-1, 1).astype(np.float32), rate)


def measures_of(audio: Audio) -> SongMeasures | None:
    analysis = analyse(audio)
    if not math.isfinite(analysis.integrated_lufs):
        return None
    return measure_song(analysis, fingerprint(audio, analysis.integrated_lufs))


def make_report(before: Audio, after: Audio, name: str = "song.wav") -> Report:
    rows = [
        ParameterRow(
            **{
                key: getattr(p, key) for key in ("name", "unit", "where", "low", "high", "neutral", "purpose")
            },
            value=SETTINGS.get(p.name, p.neutral),
            reason="mud 0.60" if p.name in SETTINGS else None,
        )
        for p in ParameterSpace.for_stems(["vocals", "accompaniment"])
    ]
    measured = Measures(before=measures_of(before), after=measures_of(after))
    was = None if measured.before is None else judged(measured.before)
    now = None if measured.after is None else judged(measured.after, was)
    settings = ParameterSpace.for_stems(["vocals", "accompaniment"]).settings(SETTINGS)
    acted = [] if was is None or now is None else actions(was, now, Made(settings, {}))
    mono = Property(kind="mono", evidence="the file has one channel")
    output = Output(path="o.wav", format="wav", bit_depth="24", rate=after.rate, sha256="1" * 64)
    return Report(
        schema=SCHEMA,
        version="0.1.0",
        input=Input(
            path=name,
            sha256="0" * 64,
            format="wav",
            rate=before.rate,
            channels=before.channels,
            frames=before.frames,
            duration_s=before.frames / before.rate,
        ),
        output=output,
        outputs=(output,),
        target=LoudnessTarget("streaming", -14.0),
        met=True,
        missed=None,
        summary=Summary(
            wrong=("Mud & more.",),
            done=("Cut it.", *(answer.words for answer in answers(acted))),
            left=(),
            new=(),
        ),
        judged=judged_section(was),
        findings=Findings(before=finding_rows(was, []), after=finding_rows(now, [])),
        actions=tuple(acted),
        repairs={},
        measures=measured,
        before=analyse(before),
        after=analyse(after),
        properties=(mono,) * (before.channels == 1),
        platforms=(),
        codecs=None,
        translation=(),
        translation_after=(),
        edits=EditsMade(fade_in_s=0.0, fade_out_s=0.0, trimmed_start_s=0.0, trimmed_end_s=0.0),
        stages=(StageRow(name="decode", status="cached", seconds=0.1, detail="wav"),),
        models=(ModelRow(stage="separation", name="spleeter", why="no GPU"),),
        reference=None,
        goal=None,
        stems_in=None,
        decision=DecisionSection(
            policy="rules", amount=1.0, strengths=Strengths(), search=None, parameters=tuple(rows)
        ),
        feedback=None,
        finaliser=FinaliserSection(
            gain_db=3.0,
            max_reduction_db=1.0,
            transients_lost_db=0.4,
            tails_lowered_db=2.4,
            renders=(
                FinaliserRender(gain_db=3.0, integrated_lufs=-14.0, true_peak_dbtp=-1.0, reduction_db=1.0),
            ),
        ),
        warnings=("Mind the gap.",),
        replay=ReplaySection(
            settings=SETTINGS,
            reasons={},
            pipeline={"separator": "none"},
            amount=1.0,
            sample_rate=None,
            seed=0,
        ),
    )
