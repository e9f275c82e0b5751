"""The sections of a song: where it changes, what comes back, and what each is likely to be.

Boundaries are peaks of novelty: a checkerboard kernel along the diagonal of the self-similarity of what
sounds (pitch classes and cepstra), at two sizes (J. Foote, "Automatic audio segmentation using a measure of
audio novelty", ICME 2000). Sections that run alike are one letter, by the best diagonal of the similarity of
two (M. Goto, "A chorus section detection method", IEEE TASLP 2006, in its simplest form). Of the letters that
come back the loudest is the chorus; the first and the last section are intro and outro where they are short
and quieter than that. How sure each name is stands beside it, and one that is not is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.fft import dct, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mixagent.pipeline.decibels import floored_powers_to_db, powers_to_db
from mixagent.pipeline.measure.meters import EnergyMeter
from mixagent.pipeline.types import AudioSource, Float64Array, Progress, blocks

SURE = 0.5
"""A name of less confidence is not given."""

LEAST_S = 24.0
"""A shorter song is one section."""

LEAST_SECTION_S = 6.0
"""The shortest section."""

ALIKE = 0.62
"""The similarity of two sections along their best diagonal from which they are one letter, 0..1."""

HOP_S = 0.1
_WINDOW_S = 0.186
_STEP_FRAMES = 5
_KERNELS_S = (8.0, 16.0)
_BANDS = 24
_CEPSTRA = 12
_CHROMA_HZ = (65.0, 2100.0)
_LOW_HZ = (20.0, 120.0)
_BESIDE_S, _AROUND_S = 2.0, 3.0
_FULL_LU = 4.0
_DROP_DB = 4.0


@dataclass(frozen=True)
class SongSection:
    """One section of a song.

    Attributes:
        start_s, stop_s: its stretch in seconds.
        letter: alike for sections that run alike, from A in the order in which they come.
        name: `intro`, `verse`, `chorus`, `drop`, `bridge` or `outro`; empty where that is not sure.
        confidence: of the name that is likeliest, 0..1.
        likely: that name, sure or not.
        lufs: loudness.
    """

    start_s: float
    stop_s: float
    letter: str
    name: str
    confidence: float
    likely: str
    lufs: float

    @property
    def label(self) -> str:
        """What it is called: its name, or `section B`."""
        return self.name or f"section {self.letter}"

    def to_json(self) -> dict[str, Any]:
        """Its fields as JSON values; no loudness for silence."""
        return {**asdict(self), "lufs": self.lufs if math.isfinite(self.lufs) else None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SongSection:
        """The section that `to_json` gave."""
        return cls(**{**values, "lufs": -math.inf if values["lufs"] is None else values["lufs"]})


@dataclass(frozen=True)
class _Frames:
    """A song in frames of `HOP_S`: chroma (12, frames), bands in dB (bands, frames), lows in dB (frames,)."""

    chroma: Float64Array
    bands_db: Float64Array
    lows_db: Float64Array


def find_sections(source: AudioSource, progress: Progress | None = None) -> tuple[SongSection, ...]:
    """The sections of a song, which cover all of it; one for a short or a silent one."""
    duration_s = source.frames / source.rate
    frames, energies = _frames(source, progress)
    if duration_s < LEAST_S or not energies.any():
        return (SongSection(0.0, duration_s, "A", "", 0.0, "", _lufs(energies)),)
    features = _features(frames)
    cuts_s = _refined(_cuts(_similarity(features)), frames)
    edges = [0.0, *cuts_s, duration_s]
    spans = list(itertools.pairwise(edges))
    letters = _letters(features, spans)
    lufs = [_lufs(energies[round(start / HOP_S) : max(round(stop / HOP_S), 1)]) for start, stop in spans]
    sections = [
        SongSection(start, stop, letter, "", 0.0, "", level)
        for (start, stop), letter, level in zip(spans, letters, lufs, strict=True)
    ]
    return _named(sections, frames)


def _frames(source: AudioSource, progress: Progress | None) -> tuple[_Frames, Float64Array]:
    meter = EnergyMeter.k_weighted(source.rate, source.channels)
    hop = round(HOP_S * source.rate)
    size = next_fast_len(round(_WINDOW_S * source.rate))
    hz = np.asarray(np.fft.rfftfreq(size, 1 / source.rate), np.float64)
    bands, chroma = _band_weights(hz), _chroma_weights(hz)
    lows = ((hz >= _LOW_HZ[0]) & (hz < _LOW_HZ[1])).astype(np.float64)
    rows = []
    for done, powers in _powers(source, meter, hop, size):
        rows.append(np.concatenate([chroma @ np.sqrt(powers), bands @ powers, [lows @ powers]]))
        if progress is not None and len(rows) % 100 == 0:
            progress(done)
    table = np.array(rows).T if rows else np.zeros((12 + _BANDS + 1, 1))
    levels = np.asarray(floored_powers_to_db(table[12:], 1e-9), np.float64)
    return _Frames(table[:12], levels[:-1], levels[-1]), meter.energies


def _powers(
    source: AudioSource, meter: EnergyMeter, hop: int, size: int
) -> Iterator[tuple[float, Float64Array]]:
    """The share done and the power spectrum of each window of the mono sum."""
    window = np.hanning(size)
    held, read = np.zeros(0), 0
    for block in blocks(source):
        meter.update(block)
        read += block.shape[1]
        held = np.concatenate([held, block.mean(0, dtype=np.float64)])
        if read == source.frames:
            held = np.concatenate([held, np.zeros(size)])
        at = 0
        while at + size <= held.size and (read < source.frames or at + size // 2 < held.size - size // 2):
            yield read / source.frames, np.abs(rfft(window * held[at : at + size])) ** 2
            at += hop
        held = held[at:]


def _band_weights(hz: Float64Array) -> Float64Array:
    edges = np.geomspace(60.0, min(14000.0, float(hz[-1])), _BANDS + 1)
    return np.array([(hz >= low) & (hz < high) for low, high in itertools.pairwise(edges)], np.float64)


def _chroma_weights(hz: Float64Array) -> Float64Array:
    low, high = _CHROMA_HZ
    inside = (hz >= low) & (hz < high)
    pitch = np.round(12 * np.log2(np.maximum(hz, 1.0) / 440.0)).astype(int) % 12
    return np.array([inside & (pitch == n) for n in range(12)], np.float64)


def _features(frames: _Frames) -> Float64Array:
    """What sounds, a column of unit length for each half second: chroma and cepstra of equal weight."""
    count = frames.chroma.shape[1] // _STEP_FRAMES * _STEP_FRAMES

    def steps(values: Float64Array) -> Float64Array:
        parts = values[:, :count].reshape(values.shape[0], -1, _STEP_FRAMES)
        return np.asarray(parts.mean(2), np.float64)

    chroma = gaussian_filter1d(steps(frames.chroma), 2.0, axis=1)
    cepstra = dct(gaussian_filter1d(steps(frames.bands_db), 1.0, axis=1), axis=0, norm="ortho")[:_CEPSTRA]
    return np.concatenate([_unit(_centred(chroma)), _unit(_centred(cepstra))]) / math.sqrt(2)


def _centred(values: Float64Array) -> Float64Array:
    spread = np.maximum(values.std(1, keepdims=True), 1e-6 * max(float(np.abs(values).max()), 1e-12))
    return np.asarray((values - values.mean(1, keepdims=True)) / spread, np.float64)


def _unit(values: Float64Array) -> Float64Array:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=0), 1e-9), np.float64)


def _similarity(features: Float64Array) -> Float64Array:
    return np.asarray(features.T @ features, np.float64)


def _cuts(similarity: Float64Array) -> list[int]:
    """The steps at which the song changes: peaks of novelty that stand out."""
    step_s = HOP_S * _STEP_FRAMES
    novelty = np.zeros(similarity.shape[0])
    for size_s in _KERNELS_S:
        novelty += _novelty(similarity, round(size_s / step_s))
    least = round(LEAST_SECTION_S / step_s)
    peaks, _ = find_peaks(novelty, distance=least, prominence=0.1 * max(float(novelty.max()), 1e-9))
    high = peaks[novelty[peaks] > 0.22 * novelty.max()]
    return [int(peak) for peak in high if least <= peak <= similarity.shape[0] - least]


def _novelty(similarity: Float64Array, half: int) -> Float64Array:
    """The checkerboard along the diagonal: likeness on either side less likeness across."""
    time = np.arange(-half, half) + 0.5
    taper = np.exp(-0.5 * (2 * time / half) ** 2)
    kernel = np.outer(np.sign(time) * taper, np.sign(time) * taper)
    padded = np.pad(similarity, half, mode="edge")
    count = similarity.shape[0]
    found = np.array([np.sum(kernel * padded[n : n + 2 * half, n : n + 2 * half]) for n in range(count)])
    return np.asarray(np.maximum(found, 0.0) / np.abs(kernel).sum(), np.float64)


def _refined(cuts: Sequence[int], frames: _Frames) -> list[float]:
    """Cuts in seconds, each where what follows differs most from what came before."""
    sound = np.concatenate([_centred(frames.bands_db), _centred(frames.chroma)])
    sums = np.concatenate([np.zeros((sound.shape[0], 1)), np.cumsum(sound, axis=1)], axis=1)
    reach, around = round(_BESIDE_S / HOP_S), round(_AROUND_S / HOP_S)
    found: list[float] = []
    for cut in cuts:
        middle = cut * _STEP_FRAMES
        at = np.arange(max(middle - around, reach), min(middle + around, sound.shape[1] - reach))
        if at.size:
            change = sums[:, at + reach] - 2 * sums[:, at] + sums[:, at - reach]
            middle = int(at[np.argmax(np.linalg.norm(change, axis=0))])
        if not found or HOP_S * middle - found[-1] >= LEAST_SECTION_S / 2:
            found.append(HOP_S * middle + _WINDOW_S / 2)
    return found


def _letters(features: Float64Array, spans: Sequence[tuple[float, float]]) -> list[str]:
    """A letter for each section: that of the section before it that it is most like, or a new one."""
    step_s = HOP_S * _STEP_FRAMES
    parts = [features[:, round(start / step_s) : max(round(stop / step_s), 1)] for start, stop in spans]
    groups: list[list[int]] = []
    for n, part in enumerate(parts):
        scores = [max(_likeness(part, parts[m]) for m in group) for group in groups]
        if scores and max(scores) >= ALIKE:
            groups[int(np.argmax(scores))].append(n)
        else:
            groups.append([n])
    letter = {n: chr(ord("A") + min(k, 25)) for k, group in enumerate(groups) for n in group}
    return [letter[n] for n in range(len(parts))]


def _likeness(one: Float64Array, other: Float64Array) -> float:
    """How alike two sections run: the mean similarity along their best diagonal, over most of the shorter."""
    short, long = sorted((one, other), key=lambda each: each.shape[1])
    count = short.shape[1]
    if count < 4:
        return 0.0
    similarity = short.T @ long
    means = [
        float(np.mean(diagonal))
        for offset in range(-count // 4, long.shape[1] - 3 * count // 4 + 1)
        if (diagonal := np.diagonal(similarity, offset)).size >= 3 * count // 4
    ]
    return max(means, default=0.0)


def _named(sections: Sequence[SongSection], frames: _Frames) -> tuple[SongSection, ...]:
    """The sections with their likely names, and those that are sure."""
    count = len(sections)
    if count < 3:
        return tuple(sections)
    levels = _levels(sections)
    times = {letter: sum(s.letter == letter for s in sections) for letter in levels}
    again = sorted((letter for letter in levels if times[letter] > 1), key=lambda each: -levels[each])
    chorus, sure = _chorus(sections, levels, again)
    names: dict[int, tuple[str, float]] = {}
    loudest = max(levels.values()) if chorus is None else levels[chorus]
    for n in range(count):
        names[n] = _name(n, sections, times, chorus, sure, loudest)
    if chorus is not None:
        of = [n for n, (name, _) in names.items() if name == "chorus"]
        if 2 * sum(_drops(sections, n, frames) for n in of) > len(of):
            names |= dict.fromkeys(of, ("drop", sure))
    return tuple(
        replace(section, likely=names[n][0], confidence=names[n][1], name=_if_sure(*names[n]))
        for n, section in enumerate(sections)
    )


def _levels(sections: Sequence[SongSection]) -> dict[str, float]:
    """The loudness of each letter, by the power of its sections."""
    letters = dict.fromkeys(section.letter for section in sections)
    found = {}
    for letter in letters:
        of = [s for s in sections if s.letter == letter]
        powers = np.array([10 ** (s.lufs / 10) for s in of])
        lasts = np.array([s.stop_s - s.start_s for s in of])
        found[letter] = float(powers_to_db(max(float(np.average(powers, weights=lasts)), 1e-12)))
    return found


def _chorus(
    sections: Sequence[SongSection], levels: Mapping[str, float], again: Sequence[str]
) -> tuple[str | None, float]:
    """The letter of the chorus and how sure that is: by how far it is over what else comes back."""
    if not again:
        return None, 0.0
    chorus = again[0]
    others = [levels[letter] for letter in levels if letter != chorus]
    over_lu = levels[chorus] - max(
        (levels[letter] for letter in again[1:]), default=max(others, default=-70.0)
    )
    never_first = sections[0].letter != chorus
    return chorus, float(np.clip(0.3 + 0.35 * over_lu / _FULL_LU * 2 + 0.15 * never_first, 0.0, 0.95))


def _name(
    n: int,
    sections: Sequence[SongSection],
    times: Mapping[str, int],
    chorus: str | None,
    sure: float,
    loudest: float,
) -> tuple[str, float]:
    section, last = sections[n], len(sections) - 1
    under = float(np.clip((loudest - section.lufs) / _FULL_LU, 0.0, 1.0))
    short = section.stop_s - section.start_s < 0.25 * sections[-1].stop_s
    if section.letter == chorus and (n not in (0, last) or under < 0.5):
        return "chorus", sure
    if n == 0:
        return "intro", 0.35 + 0.35 * under + 0.2 * short if short else 0.3
    if n == last:
        return "outro", 0.35 + 0.35 * under + 0.2 * short if short else 0.3
    if times[section.letter] > 1:
        return "verse", 0.9 * sure
    if n > last / 2 and chorus is not None:
        return "bridge", 0.85 * sure
    return "verse", 0.6 * sure


def _drops(sections: Sequence[SongSection], n: int, frames: _Frames) -> bool:
    """True where the lows come in at once and stay: a drop rather than a chorus."""
    if n == 0:
        return False

    def lows(start_s: float, stop_s: float) -> float:
        part = frames.lows_db[round(start_s / HOP_S) : max(round(stop_s / HOP_S), 1)]
        return float(np.mean(part)) if part.size else -90.0

    section = sections[n]
    before = lows(max(section.start_s - 8.0, 0.0), section.start_s)
    return lows(section.start_s, section.start_s + 8.0) - before >= 2 * _DROP_DB


def _if_sure(name: str, confidence: float) -> str:
    return name if confidence >= SURE else ""


def _lufs(energies: Float64Array) -> float:
    mean = float(energies.mean()) if energies.size else 0.0
    return float(-0.691 + powers_to_db(mean)) if mean > 1e-10 else -math.inf
