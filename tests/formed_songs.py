"""Songs of a known form, synthesised: chords, bass, drums and a lead, section by section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.types import Audio, FloatArray

RATE = 22_050
BEAT_S = 0.5

_CHORDS = {
    "intro": (0, 0, 5, 5),
    "verse": (0, 9, 5, 7),
    "chorus": (5, 7, 4, 9),
    "bridge": (2, 10, 2, 3),
    "outro": (0, 0, 5, 5),
}
_BRIGHT = {"intro": 2, "verse": 3, "chorus": 8, "bridge": 4, "outro": 2}
_LEVEL_DB = {"intro": -12.0, "verse": -6.0, "chorus": 0.0, "bridge": -8.0, "outro": -12.0}
_DRUMS = {"intro": 0.0, "verse": 0.5, "chorus": 1.0, "bridge": 0.2, "outro": 0.0}


@dataclass(frozen=True)
class Form:
    """The sections of a song by name, with their lengths in seconds."""

    names: tuple[str, ...]
    lasts_s: tuple[float, ...]

    @property
    def edges_s(self) -> tuple[float, ...]:
        """Where each section starts, the first left out."""
        return tuple(float(edge) for edge in np.cumsum(self.lasts_s)[:-1])


POP = Form(
    ("intro", "verse", "chorus", "verse", "chorus", "bridge", "chorus", "outro"),
    (8.0, 16.0, 16.0, 16.0, 16.0, 8.0, 16.0, 8.0),
)
SHORT = Form(("intro", "verse", "chorus", "verse", "chorus", "outro"), (8.0,) * 6)


def formed_song(form: Form, seed: int = 0, rate: int = RATE, contrast: float = 1.0) -> Audio:
    """A stereo song of this form; at a contrast of 0 all of its sections are alike but for their chords."""
    rng = np.random.default_rng(seed)
    parts = [_section(name, last_s, rng, rate, contrast) for name, last_s in zip(*_rows(form), strict=True)]
    mono = np.concatenate(parts)
    wide = 0.02 * rng.standard_normal((2, mono.size))
    return Audio((0.25 * np.stack([mono, mono]) + 0.02 * wide).astype(np.float32), rate)


def _rows(form: Form) -> tuple[Sequence[str], Sequence[float]]:
    return form.names, form.lasts_s


def _section(name: str, last_s: float, rng: np.random.Generator, rate: int, contrast: float) -> FloatArray:
    frames = round(last_s * rate)
    time_s = np.arange(frames) / rate
    out = np.zeros(frames)
    for beat in range(round(last_s / BEAT_S)):
        start, stop = round(beat * BEAT_S * rate), round((beat + 1) * BEAT_S * rate)
        root = _CHORDS[name][beat // 4 % 4]
        out[start:stop] += _chord(root, time_s[: stop - start], 1 + round((_BRIGHT[name] - 1) * contrast))
        hit = np.exp(-np.arange(stop - start) / (0.03 * rate)) * rng.standard_normal(stop - start)
        out[start:stop] += contrast * _DRUMS[name] * 0.5 * hit
    return np.asarray(10 ** (contrast * _LEVEL_DB[name] / 20) * out, np.float32)


def _chord(root: int, time_s: FloatArray, harmonics: int) -> FloatArray:
    notes = [110 * 2 ** ((root + step) / 12) for step in (0, 4, 7, 12)]
    fade = np.exp(-time_s / 0.4)
    tones = (np.sin(2 * np.pi * hz * k * time_s) / k for hz in notes for k in range(1, harmonics + 1))
    return np.asarray(0.2 * fade * sum(tones), np.float32)
