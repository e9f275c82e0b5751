"""Finds bounces among tracks: the mix, or a group's sum, rendered beside its parts.

A bounce is a weighted sum of the other tracks. Its weights are those of least squares over windows
spread over the song; what they leave of it tells whether it is one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.types import AudioSource, Float64Array

LEFT_DB, CALLED_SO_LEFT_DB = -30.0, -10.0
"""What the others may leave of a bounce, against it; and of one whose name says that it is one."""

LEAST_WEIGHT = 0.1
"""Gain from which a track is held to be in a bounce."""

WINDOWS, WINDOW_S = 24, 0.5
_AUDIBLE = 1e-2
_RIDGE = 1e-6


def bounces(
    tracks: Mapping[int, AudioSource], candidates: Collection[int], called_so: Collection[int] = ()
) -> dict[int, list[int]]:
    """The candidates that are the sum of two or more of the other tracks, each with its parts.

    The one with most parts is taken out first, so that a mix does not hide a group's sum.

    Args:
        tracks: of one rate, with any lengths and channels.
        candidates: of these; the others are only parts.
        called_so: candidates whose names say that they are a sum.
    """
    keys = list(tracks)
    gram = _gram(list(tracks.values()))
    left, found = list(range(len(keys))), dict[int, list[int]]()
    while True:
        parts = {
            k: _parts(gram, k, left, CALLED_SO_LEFT_DB if keys[k] in called_so else LEFT_DB)
            for k in left
            if keys[k] in candidates
        }
        most = max(parts, key=lambda k: len(parts[k]), default=None)
        if most is None or len(parts[most]) < 2:
            return found
        found[keys[most]] = [keys[k] for k in parts[most]]
        left.remove(most)


def _gram(tracks: list[AudioSource]) -> Float64Array:
    """Inner products of the tracks, folded to mono, over windows spread over the longest of them."""
    gram = np.zeros((len(tracks), len(tracks)))
    if len(tracks) < 3:
        return gram
    frames = max(track.frames for track in tracks)
    size = min(round(WINDOW_S * tracks[0].rate), frames)
    for start in np.unique(np.linspace(0, frames - size, WINDOWS).astype(int)):
        window = np.zeros((len(tracks), size))
        for row, track in zip(window, tracks, strict=True):
            samples = track.read(start, start + size)
            row[: samples.shape[1]] = samples.mean(axis=0)
        gram += window @ window.T
    return gram


def _parts(gram: Float64Array, k: int, left: list[int], most_db: float) -> list[int]:
    """The others of which a track is the sum, to within `most_db` of it; empty where it is none."""
    others = [j for j in left if j != k and gram[j, j] > 0]
    if gram[k, k] <= 0 or len(others) < 2:
        return []
    inner, mine = gram[np.ix_(others, others)], gram[others, k]
    norm = np.sqrt(np.diag(inner))
    ridge = _RIDGE * np.eye(len(others))
    weights = np.linalg.solve(inner / np.outer(norm, norm) + ridge, mine / norm) / norm
    rest = gram[k, k] - 2 * weights @ mine + weights @ inner @ weights
    audible = np.abs(weights) * norm > _AUDIBLE * math.sqrt(gram[k, k])
    if rest > db_to_power(most_db) * gram[k, k] or (weights[audible] < 0).any():
        return []
    return [j for j, told in zip(others, audible & (weights > LEAST_WEIGHT), strict=True) if told]
