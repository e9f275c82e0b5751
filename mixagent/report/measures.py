"""The tables of measures: a row for each, a column for each version of a song."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixagent.report import words

Analysed = Mapping[str, Any]

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


def measure_rows(versions: Sequence[Analysed]) -> list[dict[str, Any]]:
    """Every measure with its unit and meaning, and its value of each version as text."""
    return [
        {
            "name": name,
            "unit": unit,
            "meaning": meaning,
            "values": [words.number(version[key], digits, key in _SIGNED) for version in versions],
        }
        for name, key, unit, digits, meaning in _MEASURES
    ]


def band_rows(versions: Sequence[Analysed]) -> list[dict[str, Any]]:
    """Each named band's share of the energy in each version, in dB of the whole."""
    return [
        {"name": name, "range": span, "values": [version["bands_db"][key] for version in versions]}
        for key, (name, span) in _BANDS.items()
        if all(key in version["bands_db"] for version in versions)
    ]


def translation_rows(versions: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each playback: what it loses of the loudness of every version, and of the bands of the last.

    Args:
        versions: of a song, the rows of `translation` of each.
    """
    return [
        {
            "name": rows[-1]["playback"].capitalize(),
            "lost_lu": [row["loudness_lost_lu"] for row in rows],
            "lost_db": [(_BANDS[band][0], lost) for band, lost in rows[-1]["lost_db"].items()],
            "found": bool(rows[-1]["found"]),
            "says": rows[-1]["says"],
        }
        for rows in zip(*versions, strict=True)
    ]
