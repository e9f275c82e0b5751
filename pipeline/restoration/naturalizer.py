"""The Vocal Naturalizer: a voice that stands on its notes like a machine gets a singer's small motions.

Five techniques, each with an amount of its own, which is 0 where the voice does not need it: vibrato on held,
rigid notes; slow motion of the formants; less metal in the highs; breath across steps of pitch; glides in
place of steps. A voice in which no pitch is sure (a choir, two voices, rap) is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mixagent.pipeline.dsp.streaming import process_blocks
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.meters import integrated_lufs
from mixagent.pipeline.measure.pitch import FRAME_S, PitchTrack, track_pitch
from mixagent.pipeline.measure.singing import Change, Note, Singing, measure_singing, motion_of
from mixagent.pipeline.measure.voice_colour import VoiceColour, measure_colour, purity
from mixagent.pipeline.restoration.base import Found, Restored
from mixagent.pipeline.restoration.pitch_motion import NEUTRAL_RATE_HZ, Held, Step, delay_curve, moved
from mixagent.pipeline.restoration.voice_colouring import METALLIC_FROM_DB, Colouring, with_breath
from mixagent.pipeline.types import AudioSource, FloatArray, Progress, blocks, spool

NATURAL_DEVIATION_CENTS, NATURAL_MODULATION_CENTS, NATURAL_GLIDE_S = 19.0, 9.4, 0.035
"""Medians of fourteen sung voices; see `docs/benchmarks.md`."""

RIGID_DEVIATION_CENTS, RIGID_MODULATION_CENTS = 6.0, 4.0
"""A held note under both is rigid. Of a singer's held notes 4 % are, of hard-tuned ones half."""

RIGID_SHARE = (0.12, 0.25)
"""Share of rigid notes among the held ones above which a voice is rigid, and at which it is so in full."""

FAST_GLIDE_S = 0.026
"""A change of pitch that takes less is a step."""

STILL_FORMANTS_DB = (1.6, 1.0)
"""Motion of the formants below which they stand too still, and at which they do in full."""

_LEAST_RIGID, _LEAST_HELD = 3, 5
_SURE = 0.75
_PURE = 0.85
_LEAST_LEVEL_LU = -18.0
_METALLIC_FULL_DB = 3.1
_MOST_DOUBT = 0.1


@dataclass(frozen=True)
class Naturalness:
    """How much of each technique a voice gets, 0..1.

    Attributes:
        vibrato: depth of vibrato, drift and flutter on rigid held notes, at 1 within ±30 cents.
        formants: slow random motion of the formants from 200 to 3000 Hz in held notes, at 1 by ±2 %.
        metallic: of the highs from 6 to 10 kHz that stand out, at 1 up to 30 % of the amplitude goes.
        breath: noise from 1 to 4 kHz across steps of pitch, at 1 30 dB under the voice.
        glides: length of the glides that take the place of steps, at 1 as a singer's.
        rate_hz: of the vibrato.
    """

    vibrato: float = 0.0
    formants: float = 0.0
    metallic: float = 0.0
    breath: float = 0.0
    glides: float = 0.0
    rate_hz: float = NEUTRAL_RATE_HZ

    def __post_init__(self) -> None:
        for name, amount in asdict(self).items():
            if name != "rate_hz" and not 0.0 <= amount <= 1.0:
                raise ValueError(f"{name} must lie in 0..1, not {amount}")
        if not 2.0 <= self.rate_hz <= 9.0:
            raise ValueError(f"rate_hz must lie in 2..9, not {self.rate_hz}")

    @property
    def needed(self) -> bool:
        """True if any technique is."""
        return any((self.vibrato, self.formants, self.metallic, self.breath, self.glides))


def find(source: AudioSource, analysis: Analysis, progress: Progress) -> Found | None:
    """A voice that is too rigid, or metallic."""
    if not math.isfinite(analysis.integrated_lufs):
        return None
    # A stem far under the song is what leaked of other instruments, whose pitch stands by nature.
    if integrated_lufs(source) - analysis.integrated_lufs < _LEAST_LEVEL_LU:
        return None
    track = track_pitch(source, lambda share: progress(0.6 * share))
    singing = measure_singing(track)
    if not _is_one_voice(track, singing):
        return None
    colour = measure_colour(source, track, singing.held, lambda share: progress(0.6 + 0.4 * share))
    rigid = [note for note in singing.held if is_rigid(note) and purity(source, track, note) >= _PURE]
    steps = [change for change in singing.changes if _is_step(change, source, track)]
    needed = what_it_needs(singing, colour, len(rigid), len(steps))
    if not needed.needed:
        return None
    details = {
        "naturalness": asdict(needed),
        "rigid": [[note.start, note.stop] for note in rigid],
        "steps": [[step.time_s, step.step_cents] for step in steps],
        "sung": _sung(track) if needed.metallic else [],
    }
    values = {
        "deviation_cents": singing.deviation_cents,
        "modulation_cents": singing.modulation_cents,
        "rigid_share": len(rigid) / len(singing.held),
    }
    if singing.changes:
        values["glide_ms"] = 1e3 * singing.glide_s
    return Found(_why(needed, len(rigid), len(singing.held), colour), values, details)


def what_it_needs(singing: Singing, colour: VoiceColour, rigid: int, steps: int) -> Naturalness:
    """The amounts for a voice with so many rigid notes and steps: all 0 for a singer's."""
    share = rigid / max(len(singing.held), 1)
    rigidity = _ramp(share, *RIGID_SHARE) if rigid >= _LEAST_RIGID else 0.0
    glides = rigidity if steps else 0.0
    formants = rigidity * _ramp(colour.formant_motion_db, *STILL_FORMANTS_DB)
    metallic = _ramp(colour.highs_db, METALLIC_FROM_DB, METALLIC_FROM_DB + _METALLIC_FULL_DB)
    return Naturalness(rigidity, formants, metallic, glides, glides)


def is_rigid(note: Note) -> bool:
    """True for a held note whose pitch stands."""
    return (
        note.held
        and note.deviation_cents < RIGID_DEVIATION_CENTS
        and note.modulation_cents < RIGID_MODULATION_CENTS
    )


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The voice with a singer's motions, of the very length and timing; the rest of it bit for bit."""
    needed = Naturalness(**found.details["naturalness"])
    rigid = [Held(start * FRAME_S, stop * FRAME_S) for start, stop in found.details["rigid"]]
    steps = [Step(time_s, cents) for time_s, cents in found.details["steps"]]
    sung = [Held(start * FRAME_S, stop * FRAME_S) for start, stop in found.details["sung"]]
    curve = delay_curve(
        source.frames / source.rate, rigid, steps, needed.vibrato, needed.glides, needed.rate_hz
    )
    parts = with_breath(moved(source, curve), source, steps, needed.breath)
    audio = spool(
        _told(parts, source, lambda share: progress(0.5 * share)),
        scratch / "naturalized.f32",
        source.rate,
        source.channels,
    )
    if needed.formants or needed.metallic:
        colouring = Colouring(source.rate, source.channels, sung, rigid, needed.formants, needed.metallic)
        coloured = process_blocks(audio, [colouring])
        audio = spool(
            _told(coloured, source, lambda share: progress(0.5 + 0.2 * share)),
            scratch / "coloured.f32",
            source.rate,
            source.channels,
        )
    return _judged(source, audio, found, lambda share: progress(0.7 + 0.3 * share))


def _judged(source: AudioSource, after: AudioSource, found: Found, progress: Progress) -> Restored:
    """The result with its figures; rejected where its pitch is less sure than before, or no number."""
    old = track_pitch(source, lambda share: progress(0.5 * share))
    new = track_pitch(after, lambda share: progress(0.5 + 0.5 * share))
    notes = found.details["rigid"]
    loudest = max((float(np.abs(block).max(initial=0.0)) for block in blocks(after)), default=0.0)
    if not math.isfinite(loudest):
        why = "The voice came out of the naturalizer with values that are no numbers: it is left."
        return Restored(source, False, why, found.values)
    if not notes:
        return Restored(after, True, "Metallic highs of the voice were turned down.", found.values)
    sure = [np.mean([np.mean(track.confidence[a:b]) for a, b in notes]) for track in (old, new)]
    if sure[1] < sure[0] - _MOST_DOUBT:
        why = (
            f"The naturalizer was tried and rejected: its pitch is {sure[1]:.2f} sure, and was {sure[0]:.2f}."
        )
        return Restored(source, False, why, found.values)
    before, now = (_motion(track, notes) for track in (old, new))
    values = {**found.values, "rigid_notes_deviation_cents": before, "natural_notes_deviation_cents": now}
    why = f"{len(notes)} rigid notes of the voice move by {now:.0f} cents now, and did by {before:.0f}."
    return Restored(after, True, why, values)


def _motion(track: PitchTrack, notes: Sequence[Sequence[int]]) -> float:
    """Median deviation in cents of these notes; NaN where none can be measured."""
    motions = [motion_of(track.cents[start:stop]) for start, stop in notes]
    deviations = [motion[0] for motion in motions if motion is not None]
    return float(np.median(deviations)) if deviations else float("nan")


def _told(parts: Iterable[FloatArray], source: AudioSource, progress: Progress) -> Iterator[FloatArray]:
    done = 0
    for part in parts:
        yield part
        done += part.shape[1]
        progress(done / source.frames)


def _is_one_voice(track: PitchTrack, singing: Singing) -> bool:
    """True if there are held notes of a sure pitch: one voice that sings, and nothing else."""
    sure = [float(np.mean(track.confidence[note.start : note.stop])) for note in singing.held]
    return len(sure) >= _LEAST_HELD and float(np.median(sure)) >= _SURE


def _is_step(change: Change, source: AudioSource, track: PitchTrack) -> bool:
    """True for a change that one voice makes at once."""
    notes = (change.before, change.after)
    return change.glide_s < FAST_GLIDE_S and all(purity(source, track, note) >= _PURE for note in notes)


def _sung(track: PitchTrack) -> list[list[int]]:
    """Frames of a pitch, as spans from and to."""
    sung = np.isfinite(track.hz).astype(np.int8)
    turns = np.flatnonzero(np.diff(sung, prepend=0, append=0))
    return [[int(start), int(stop)] for start, stop in zip(turns[::2], turns[1::2], strict=True)]


def _ramp(value: float, none: float, full: float) -> float:
    """0 at `none` and before, 1 at `full` and beyond; 0 for NaN."""
    share = (value - none) / (full - none)
    return min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0


def _why(needed: Naturalness, rigid: int, held: int, colour: VoiceColour) -> str:
    said = []
    if needed.vibrato:
        said.append(f"{rigid} of {held} held notes stand on their pitch like a machine's")
    if needed.glides:
        said.append("the pitch jumps from note to note")
    if needed.formants:
        said.append(f"the vowels stand still ({colour.formant_motion_db:.1f} dB)")
    if needed.metallic:
        said.append(f"6 to 10 kHz stands {colour.highs_db:.0f} dB against the body of the voice")
    return f"The voice is not a singer's: {', '.join(said)}."
