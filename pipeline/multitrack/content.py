"""Tells a track's role from its sound, where its name says nothing.

The rules tell apart what can be told apart by simple measures: singing, drums and bass; all else is
`other`. Their figures were chosen on single instruments, drums and stems rendered from MIDI
(`scripts/check_stem_content.py` prints how often they are right).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixagent.pipeline.decibels import db_to_power
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.measure.analysis import analyse
from mixagent.pipeline.measure.features import FEATURE_NAMES, describe
from mixagent.pipeline.multitrack.names import Role
from mixagent.pipeline.types import Audio, AudioSource, blocks

EXCERPT_S = 12.0

SHORTEST_SUNG_S = 1.0
"""Of less the vocal separator cannot tell."""

SUNG_SHARE = 0.5
"""Share of the energy that the vocal separator keeps from which a track is a voice; instruments: 0–0.33."""

DRUM_RISE_DB, STEEP_RISE_DB = 12.0, 25.0
"""The rise in dB of drums' attacks over what precedes them, with cymbals and of a single drum."""

DRUM_FLATNESS_DB, SINGLE_DRUM_FLATNESS_DB = -7.2, -5.0
"""Spectral flatness from which a sound has no pitch; noise has −2.5 dB."""

DRUM_AIR_DB, CYMBAL_AIR_DB = -25.0, -6.0
"""Share of the energy above 6 kHz of a drum kit and of cymbals."""

BASS_LOW_SHARE, BASS_AIR_DB = 0.6, -25.0
"""Share of the energy below 200 Hz from which, and above 6 kHz to which, a track is a bass."""

_FLATNESS = [i for i, name in enumerate(FEATURE_NAMES) if name.startswith("flatness_")][:5]
"""Of the octaves from 250 Hz to 4 kHz."""


@dataclass(frozen=True)
class Sound:
    """The measures that the rules look at.

    Attributes:
        sung_share: of the energy, that the vocal separator keeps, 0..1; None where it is not installed or the
            track is too short.
        low_share: of the energy, below 200 Hz, 0..1.
        air_db: of the energy, above 6 kHz.
        rise_db: of attacks over what precedes them.
        flatness_db: of the spectrum from 250 Hz to 4 kHz; pitched sounds have less.
    """

    sung_share: float | None
    low_share: float
    air_db: float
    rise_db: float
    flatness_db: float


def listen(track: AudioSource) -> Sound:
    """Measures of the loudest `EXCERPT_S` of a track that is not silent."""
    excerpt = _loudest(track)
    analysis = analyse(excerpt)
    shares = {band: db_to_power(db) for band, db in analysis.bands_db.items()}
    return Sound(
        sung_share=_sung_share(excerpt),
        low_share=shares["sub"] + shares["bass"],
        air_db=analysis.bands_db["air"],
        rise_db=analysis.transient_sharpness_db,
        flatness_db=float(np.mean(describe(excerpt)[_FLATNESS])),
    )


def role_of(sound: Sound) -> tuple[Role, str]:
    """The role of a sound, and why, in one clause."""
    if sound.sung_share is not None and sound.sung_share >= SUNG_SHARE and sound.rise_db < STEEP_RISE_DB:
        return "vocals", f"{sound.sung_share:.0%} of it is singing to the vocal separator"
    if _is_drum(sound):
        return (
            "drums",
            f"attacks rise {sound.rise_db:.0f} dB and it has no pitch ({sound.flatness_db:.0f} dB flat)",
        )
    if sound.low_share >= BASS_LOW_SHARE and sound.air_db <= BASS_AIR_DB:
        return "bass", f"{sound.low_share:.0%} of its energy is below 200 Hz"
    return "other", "neither singing, drums nor bass"


def _is_drum(sound: Sound) -> bool:
    kit = (
        sound.flatness_db >= DRUM_FLATNESS_DB
        and sound.air_db >= DRUM_AIR_DB
        and sound.rise_db >= DRUM_RISE_DB
    )
    single = sound.flatness_db >= SINGLE_DRUM_FLATNESS_DB and sound.rise_db >= STEEP_RISE_DB
    cymbal = sound.air_db >= CYMBAL_AIR_DB and sound.rise_db >= DRUM_RISE_DB
    return kit or single or cymbal


def _loudest(track: AudioSource) -> Audio:
    length = min(round(EXCERPT_S * track.rate), track.frames)
    step = max(length // 2, 1)
    powers = np.array([float(np.square(block).sum()) for block in blocks(track, step)])
    pairs = powers + np.append(powers[1:], 0.0)
    start = min(int(np.argmax(pairs)) * step, track.frames - length)
    return Audio(np.ascontiguousarray(track.read(start, start + length), np.float32), track.rate)


def _sung_share(excerpt: Audio) -> float | None:
    from mixagent.pipeline.separation.spleeter import SpleeterSeparator

    if excerpt.frames < SHORTEST_SUNG_S * excerpt.rate:
        return None
    try:
        with scratch_folder() as scratch:
            parts = SpleeterSeparator().separate(excerpt, scratch).parts
            sung, rest = (
                float(sum(np.square(block).sum(dtype=np.float64) for block in blocks(parts[name])))
                for name in ("vocals", "accompaniment")
            )
    except ModelMissingError:
        return None
    return sung / max(sung + rest, 1e-30)
