"""Tracks of one source held against each other: time offset, polarity, and what aligning them gives.

Two microphones, or a direct signal and an amplifier, carry one sound twice. If one comes later or
upside down, their sum loses what they share. The offset is the peak of the generalised
cross-correlation (C. Knapp and G. Carter, "The generalized correlation method for estimation of time
delay", IEEE Trans. ASSP 24(4), 1976) with the smoothed coherence transform, its spectra averaged over
windows in which both tracks are loud: what only plays in time with a track, and is not its sound,
has another phase in every window and averages out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixagent.pipeline.decibels import db_to_power, power_to_db, powers_to_db
from mixagent.pipeline.types import AudioSource, Float64Array

LONGEST_MS = 30.0
"""Offsets beyond this are an echo or another take, not a microphone's place or a converter's delay."""

LONGEST_TO_SONG_MS = 100.0
"""The same between tracks and their song: an encoder's delay is 25 to 50 ms."""

LEAST_NULL_DB = 1.0
"""Fall of what the tracks leave of their song that laying them onto it has to bring."""

STRONG = 0.3
"""Height of the peak, 0 to 1, from which two tracks are held to carry one sound."""

INVERTED = -0.5
"""Correlation in the lows under which a track's polarity is held to be inverted."""

LEAST_GAIN_DB = 0.1
"""Rise of the sum's energy in the lows that a correction has to bring."""

LOWS_HZ = (30.0, 200.0)
HIGHEST_HZ = 12_000.0
WINDOWS = 24
WINDOW_S = 0.75
MOST_PAIRS = 200
"""Pairs looked at in a group, those whose levels go together most first: 60 microphones make 1770."""

_LEAST_WINDOWS = 4
_AUDIBLE = 1e-4
_AUDIBLE_BIN = 1e-7
_SILENT = 1e-30


@dataclass(frozen=True)
class Relation:
    """The relation of a second track to a first.

    Attributes:
        delay_s: how much later the second comes; negative where it comes first.
        evidence: 0 to 1, that both carry one sound with this offset.
        inverted: whether the second is upside down against the first.
        low_correlation: of the two as they are, 30–200 Hz, −1 to 1.
        undone_s: the offset to undo: `delay_s`, or 0 where turning the polarity alone gives more lows.
        gain_db: energy that the sum of the two gains in the lows when offset and polarity are undone.
    """

    delay_s: float
    evidence: float
    inverted: bool
    low_correlation: float
    undone_s: float
    gain_db: float

    @property
    def one_sound(self) -> bool:
        """True if both tracks are held to carry one sound."""
        return self.evidence >= STRONG

    @property
    def improves(self) -> bool:
        """True if the evidence is strong and undoing the offset gives the sum more lows."""
        return self.one_sound and self.gain_db >= LEAST_GAIN_DB


@dataclass(frozen=True)
class Correction:
    """The correction of a track: `advance` frames earlier (negative: later), and its polarity turned."""

    advance: int = 0
    invert: bool = False


def relation(
    first: AudioSource, second: AudioSource, starts: Sequence[int], longest_ms: float = LONGEST_MS
) -> Relation:
    """The relation of the second track to the first, from windows of `WINDOW_S` at these frames.

    Args:
        first: mono or stereo; stereo is folded to mono.
        second: of the first's rate.
        starts: where both are loud, see `loud_starts`; one or more.
        longest_ms: offset that is looked for.
    """
    cross, powers, hz = _spectra(first, second, starts)
    lag, height = _peak(cross, powers, hz, round(longest_ms / 1000 * first.rate))
    low = (hz >= LOWS_HZ[0]) & (hz <= LOWS_HZ[1])
    one, other = (float(power[low].sum()) + _SILENT for power in powers)

    def shared(frames: int) -> float:
        """Energy in the lows that the two have in common with the second `frames` earlier."""
        return float((cross[low] * np.exp(2j * np.pi * hz[low] * frames / first.rate)).real.sum())

    sign = -1.0 if height < 0 else 1.0
    undone = max((0, lag), key=lambda frames: sign * shared(frames))
    least = 1e-9 * (one + other)
    before, after = (max(one + other + 2 * c, least) for c in (shared(0), sign * shared(undone)))
    return Relation(
        delay_s=lag / first.rate,
        evidence=min(abs(height), 1.0),
        inverted=height < 0,
        low_correlation=shared(0) / math.sqrt(one * other),
        undone_s=undone / first.rate,
        gain_db=power_to_db(after / before),
    )


def loud_starts(first: Float64Array, second: Float64Array, step: int) -> list[int]:
    """Frames at which windows begin in which both tracks are loud, at most `WINDOWS` of them, in order.

    The windows overlap by half, as in Welch's method; empty where there are too few to average over.

    Args:
        first: mean square of each `step` frames of a track; as many of the `second`.
        step: a tenth of a second, in frames.
    """
    width = round(10 * WINDOW_S)
    if first.size < width or not first.any() or not second.any():
        return []
    hop = width // 2
    sums = [np.convolve(energy, np.ones(width), "valid")[::hop] for energy in (first, second)]
    both = np.minimum(*(energy / energy.max() for energy in sums))
    loudest = np.argsort(-both, kind="stable")[:WINDOWS]
    starts = [int(at) * hop * step for at in np.sort(loudest) if both[at] >= _AUDIBLE]
    return starts if len(starts) >= _LEAST_WINDOWS else []


def related_pairs(energies: Mapping[int, Float64Array]) -> list[tuple[int, int]]:
    """The pairs of a group to look at, those whose levels go together most first."""
    keys = list(energies)
    if len(keys) < 2:
        return []
    levels = np.array([np.sqrt(energies[key]) for key in keys])
    levels -= levels.mean(axis=1, keepdims=True)
    levels /= np.sqrt(np.square(levels).sum(axis=1, keepdims=True)) + 1e-30
    alike = levels @ levels.T
    upper = np.triu_indices(len(keys), 1)
    order = np.argsort(-alike[upper], kind="stable")[:MOST_PAIRS]
    return [(keys[upper[0][k]], keys[upper[1][k]]) for k in order]


def corrections(
    tracks: Mapping[int, AudioSource],
    relations: Mapping[tuple[int, int], Relation],
    energies: Mapping[int, Float64Array],
    step: int,
) -> dict[int, Correction]:
    """The corrections of a group's tracks; those that stay as they are are left out.

    Tracks that carry one sound are laid onto the loudest of them, along the strongest evidence. A set of
    them is left as it is unless their sum gains `LEAST_GAIN_DB` in the lows.

    Args:
        tracks: of the group.
        relations: of its pairs.
        energies: of each track, as in `loud_starts`.
        step: as in `loud_starts`.
    """
    found: dict[int, Correction] = {}
    for anchor, tree in _trees(relations, {key: float(e.sum()) for key, e in energies.items()}):
        placed = _placed(anchor, tree, relations, tracks[anchor].rate)
        starts = loud_starts(energies[anchor], energies[anchor], step)
        if placed and starts and _gain_db(tracks, placed, starts) >= LEAST_GAIN_DB:
            found |= placed
    return found


def correction_to(song: AudioSource, tracks: AudioSource, starts: Sequence[int]) -> Correction | None:
    """The correction that aligns the tracks' sum with their song; None if aligned, or on weak evidence.

    Args:
        song: as it was rendered from the tracks, perhaps processed.
        tracks: their sum.
        starts: where the tracks are loud; none for too little of them.
    """
    if not starts:
        return None
    between = relation(song, tracks, starts, LONGEST_TO_SONG_MS)
    found = Correction(round(between.delay_s * song.rate), between.inverted)
    if not between.one_sound or found == Correction():
        return None
    before, after = (_left(song, tracks, how, starts) for how in (Correction(), found))
    return found if after <= db_to_power(-LEAST_NULL_DB) * before else None


def _left(song: AudioSource, tracks: AudioSource, how: Correction, starts: Sequence[int]) -> float:
    """Energy of what the corrected tracks leave of their song."""
    size = _size(song.rate)
    rests = (_mono(song, start, size) - _corrected(tracks, how, start, size) for start in starts)
    return float(sum(np.square(rest).sum() for rest in rests))


Edge = tuple[int, int]


def _trees(
    relations: Mapping[Edge, Relation], loudness: Mapping[int, float]
) -> Iterator[tuple[int, list[Edge]]]:
    """Each set of tracks of one sound: its loudest, and the strongest edges that hold it together."""
    home = {key: {key} for key in loudness}
    edges: dict[int, list[Edge]] = {key: [] for key in loudness}
    for a, b in sorted(relations, key=lambda pair: -relations[pair].evidence):
        if relations[a, b].one_sound and home[a] is not home[b]:
            joined = home[a] | home[b]
            both = [*edges[a], *edges[b], (a, b)]
            for key in joined:
                home[key], edges[key] = joined, both
    for group in {id(keys): keys for keys in home.values() if len(keys) > 1}.values():
        anchor = max(sorted(group), key=lambda key: loudness[key])
        yield anchor, edges[anchor]


def _placed(
    anchor: int, tree: Sequence[Edge], relations: Mapping[Edge, Relation], rate: int
) -> dict[int, Correction]:
    """Offset and polarity of each track of a tree against its anchor, along the edges that improve."""
    placed = {anchor: Correction()}
    while True:
        ready = [(a, b) for a, b in tree if (a in placed) != (b in placed)]
        if not ready:
            return {key: found for key, found in placed.items() if found != Correction()}
        for a, b in ready:
            known, new, forward = (a, b, True) if a in placed else (b, a, False)
            between = relations[a, b]
            frames = round(between.undone_s * rate) * (1 if forward else -1) if between.improves else 0
            turned = between.inverted and between.improves
            at = placed[known]
            placed[new] = Correction(at.advance + frames, at.invert != turned)


def _gain_db(
    tracks: Mapping[int, AudioSource], placed: Mapping[int, Correction], starts: Sequence[int]
) -> float:
    """The gain in dB that the corrections give the lows of these tracks' sum."""
    rate = next(iter(tracks.values())).rate
    size, before, after = _size(rate), 0.0, 0.0
    low = _low(size, rate)
    for start in starts:
        plain = sum(_mono(track, start, size) for track in tracks.values())
        moved = sum(
            _corrected(track, placed.get(k, Correction()), start, size) for k, track in tracks.items()
        )
        before += float(np.square(np.abs(_windowed(np.asarray(plain))[low])).sum())
        after += float(np.square(np.abs(_windowed(np.asarray(moved))[low])).sum())
    return float(powers_to_db((after + 1e-30) / (before + 1e-30)))


def _corrected(track: AudioSource, correction: Correction, start: int, size: int) -> Float64Array:
    return (-1.0 if correction.invert else 1.0) * _mono(track, start + correction.advance, size)


def _size(rate: int) -> int:
    """Frames of a window: the power of two nearest to `WINDOW_S`."""
    return int(2 ** round(np.log2(WINDOW_S * rate)))


def _low(size: int, rate: int) -> NDArray[np.bool_]:
    hz = np.fft.rfftfreq(size, 1 / rate)
    return np.asarray((hz >= LOWS_HZ[0]) & (hz <= LOWS_HZ[1]))


def _mono(track: AudioSource, start: int, size: int) -> Float64Array:
    """`size` frames from `start` on, folded to mono, with silence outside the track."""
    window = np.zeros(size)
    samples = track.read(max(start, 0), max(start + size, 0))
    at = max(-start, 0)
    window[at : at + samples.shape[1]] = samples.mean(axis=0)
    return window


def _windowed(samples: Float64Array) -> NDArray[np.complex128]:
    return np.fft.rfft(samples * np.hanning(samples.size))


def _spectra(
    first: AudioSource, second: AudioSource, starts: Sequence[int]
) -> tuple[NDArray[np.complex128], tuple[Float64Array, Float64Array], Float64Array]:
    """Cross-spectrum and both power spectra, summed over the windows, and the bins' frequencies."""
    size = _size(first.rate)
    cross = np.zeros(size // 2 + 1, np.complex128)
    powers = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    for start in starts:
        one, other = (_windowed(_mono(track, start, size)) for track in (first, second))
        cross += np.conj(one) * other
        powers[0][:] += np.square(np.abs(one))
        powers[1][:] += np.square(np.abs(other))
    return cross, powers, np.asarray(np.fft.rfftfreq(size, 1 / first.rate), np.float64)


def _peak(
    cross: NDArray[np.complex128], powers: tuple[Float64Array, Float64Array], hz: Float64Array, most: int
) -> tuple[int, float]:
    """Lag in frames, `most` at most, of the second track behind the first, and its peak's height, −1 to 1."""
    audible = (hz >= LOWS_HZ[0]) & (hz <= HIGHEST_HZ)
    for power in powers:
        audible &= power > _AUDIBLE_BIN * power.max(initial=0.0)
    weighed = np.zeros_like(cross)
    weighed[audible] = cross[audible] / np.sqrt(powers[0][audible] * powers[1][audible])
    size = 2 * (cross.size - 1)
    correlation = np.fft.irfft(weighed, size) * size / (2 * max(int(audible.sum()), 1))
    lags = np.concatenate([np.arange(most + 1), np.arange(-most, 0)])
    found = correlation[lags]
    best = int(np.argmax(np.abs(found)))
    return int(lags[best]), float(found[best])
