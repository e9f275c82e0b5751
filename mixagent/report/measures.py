"""The tables of measures: a row for each, a column for each version of a song."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixagent.pipeline.measure.analysis import Analysis
from mixagent.report import words
from mixagent.report.model import TranslationRow

_MEASURES = (
    ("Integrated loudness", "integrated_lufs", "LUFS", 1, "how loud the whole song is heard"),
    ("Loudest 3 seconds", "short_term_max_lufs", "LUFS", 1, "short-term maximum"),
    ("Loudest moment", "momentary_max_lufs", "LUFS", 1, "momentary maximum, 0.4 s"),
    ("Loudness range", "loudness_range_lu", "LU", 1, "from the quiet passages to the loud ones"),
    ("True peak", "true_peak_dbtp", "dBTP", 1, "highest point of the wave that a player rebuilds"),
    ("Sample peak", "sample_peak_dbfs", "dBFS", 1, "highest sample in the file"),
    ("Peak to loudness", "plr_db", "dB", 1, "room for attacks above the programme"),
    ("Crest factor", "crest_db", "dB", 1, "peak against average level"),
    ("Balance", "balance_db", "dB", 1, "right against left; 0 is centred"),
    ("Correlation", "correlation", "", 2, "1 is mono, 0 wide, below 0 out of phase"),
    ("Lost in mono", "mono_fold_loss_db", "dB", 1, "loudness that vanishes on one loudspeaker"),
    ("Bandwidth", "bandwidth_hz", "Hz", 0, "where the spectrum ends"),
    ("Attack sharpness", "transient_sharpness_db", "dB", 1, "how far attacks rise over what precedes them"),
    ("Attacks", "transient_density_hz", "/s", 1, "onsets per second"),
    ("Clipped runs", "clipped_runs", "", 0, "places with peaks cut flat"),
)
_SIGNED = {"balance_db"}

_BANDS = {
    "sub": ("Sub", "20–60 Hz"),
    "bass": ("Bass", "60–200 Hz"),
    "low_mid": ("Low mid", "200–500 Hz"),
    "mid": ("Mid", "0.5–2 kHz"),
    "presence": ("Presence", "2–6 kHz"),
    "air": ("Air", "6–16 kHz"),
}


@dataclass(frozen=True)
class MeasureShown:
    """A measure with its unit and meaning, and its value of each version as text."""

    name: str
    unit: str
    meaning: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class BandShown:
    """A named band's share of the energy in each version, in dB of the whole; −inf for nothing."""

    name: str
    range: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class TranslationShown:
    """A playback: loudness lost of every version, and what the last loses in each band, in dB.

    `found` says whether it loses what finished music does not, `says` what it loses.
    """

    name: str
    lost_lu: tuple[float, ...]
    lost_db: tuple[tuple[str, float], ...]
    found: bool
    says: str


def measure_rows(versions: Sequence[Analysis]) -> list[MeasureShown]:
    """Every measure of each version."""
    return [
        MeasureShown(
            name,
            unit,
            meaning,
            tuple(words.number(getattr(version, key), digits, key in _SIGNED) for version in versions),
        )
        for name, key, unit, digits, meaning in _MEASURES
    ]


def band_rows(versions: Sequence[Analysis]) -> list[BandShown]:
    """Every named band that all versions have."""
    return [
        BandShown(name, span, tuple(version.bands_db[key] for version in versions))
        for key, (name, span) in _BANDS.items()
        if all(key in version.bands_db for version in versions)
    ]


def translation_rows(versions: Sequence[Sequence[TranslationRow]]) -> list[TranslationShown]:
    """Every playback.

    Args:
        versions: of a song, the rows of `translation` of each.
    """
    return [
        TranslationShown(
            rows[-1].playback.capitalize(),
            tuple(row.loudness_lost_lu for row in rows),
            tuple((_BANDS[band][0], lost) for band, lost in rows[-1].lost_db.items()),
            bool(rows[-1].found),
            rows[-1].says,
        )
        for rows in zip(*versions, strict=True)
    ]
