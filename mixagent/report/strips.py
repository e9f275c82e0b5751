"""The stems of a mix in words: what was measured of each behind its strip and bus."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mixagent.pipeline.dsp.third_octaves import THIRD_OCTAVES_HZ
from mixagent.pipeline.measure.changes import StemChange
from mixagent.report.actions import HEARD_DB, regions
from mixagent.report.model import ActionRow, StripRow
from mixagent.report.words import change_words, confidence_words, number, place_label

UNHEARD = f"nothing changed by {number(HEARD_DB)} dB"

_TONE_HZ = (31.0, 16500.0)


def changed_words(change: StemChange) -> list[str]:
    """What became of a stem, a clause each: its level, its tone with the level removed, width and crest."""
    level_db = change.lufs[1] - change.lufs[0]
    level_db = level_db if math.isfinite(level_db) else 0.0
    figures = (
        (level_db, "level raised", "level lowered"),
        (change.width_db or 0.0, "widened", "narrowed"),
        (change.crest_db, "peaks over the mean raised", "peaks over the mean lowered"),
    )
    level, width, crest = (
        [change_words(up if db > 0 else down, db)] if abs(db) >= HEARD_DB else [] for db, up, down in figures
    )
    return [*level, *_tone(change, level_db), *width, *crest] or [UNHEARD]


def _tone(change: StemChange, level_db: float) -> list[str]:
    """The regions of its tone that went one way, lowest first."""
    low, high = _TONE_HZ
    hz = [centre for centre in THIRD_OCTAVES_HZ if low < centre < high]
    moved = {band.centre_hz: band.mean_db for band in change.bands}
    # A band that holds nothing of the stem is not measured.
    changes = np.array([moved[centre] - level_db if centre in moved else 0.0 for centre in hz])
    found = regions(changes, hz, np.ones(len(hz), np.bool_))
    return [region.words("raised", "lowered") for region in found]


def strip_actions(rows: Sequence[StripRow]) -> list[ActionRow]:
    """The stems that were measured behind their strips, as actions."""
    return [
        ActionRow(
            what="stems",
            did=f"{place_label(row.stem)}: {'; '.join(row.did)}",
            why="; ".join(row.why) or "as recorded",
        )
        for row in rows
        if row.lufs is not None
    ]


def strip_words(row: StripRow) -> str:
    """A stem in one line: what was done, why, and how sure it is that the stem is what it is called."""
    did = "; ".join(row.did)
    why = f": {'; '.join(row.why)}" if row.did and row.why else ""
    left = [] if row.left is None else [row.left]
    sure = f" ({confidence})" if (confidence := confidence_words(row)) else ""
    return f"{place_label(row.stem)}{sure}: {'; '.join([*([did + why] if did else []), *left])}"
