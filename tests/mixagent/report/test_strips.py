"""A stem in words: level first, then its tone with the level removed."""

import pytest

from mixagent.pipeline.measure.changes import BandGain, StemChange
from mixagent.report.listening import choose_excerpt
from mixagent.report.model import StripRow
from mixagent.report.sounds import MixSound, StemSound
from mixagent.report.stem_player import stem_sides
from mixagent.report.strips import UNHEARD, changed_words, strip_actions, strip_words
from tests.reports import song


def change(bands, lufs=(-20.0, -20.0), width_db=0.0, crest_db=0.0):
    gains = tuple(BandGain(hz, db, db, hz, 1.0) for hz, db in bands.items())
    return StemChange(lufs, width_db, crest_db, gains)


def test_a_fader_alone_moves_no_tone():
    assert changed_words(change({250.0: 3.0, 1000.0: 3.0}, (-20.0, -17.0))) == ["level raised by 3.0 dB"]


def test_a_cut_under_a_raised_fader_is_a_cut():
    bands = {200.0: 3.0, 250.0: 0.0, 315.0: 0.0, 400.0: 3.0}
    level, tone = changed_words(change(bands, (-20.0, -17.0)))
    assert level == "level raised by 3.0 dB"
    assert tone == "220–350 Hz lowered by 3.0 dB (most 3.0 dB at 250 Hz)"


def test_width_and_crest_are_told_from_half_a_decibel_on():
    assert changed_words(change({}, width_db=-0.4, crest_db=0.4)) == [UNHEARD]
    assert changed_words(change({}, width_db=2.0, crest_db=-5.0)) == [
        "widened by 2.0 dB",
        "peaks over the mean lowered much, by 5.0 dB",
    ]


def test_a_stem_that_was_muted_has_no_level_to_tell():
    assert changed_words(change({}, (-20.0, float("-inf")))) == [UNHEARD]


def row(**values):
    return StripRow(
        **{"stem": "vocals", "did": ("widened by 2.0 dB",), "why": ("narrow",), "left": None, **values}
    )


def test_a_row_says_what_why_and_how_sure():
    assert strip_words(row(confidence=0.82)) == "Vocals (confidence 82 %): widened by 2.0 dB: narrow"
    left = row(did=(), why=(), left="it is not there")
    assert strip_words(left) == "Vocals: it is not there"
    assert strip_actions([left, row()]) == []
    (action,) = strip_actions([row(lufs=(-20.0, -20.0))])
    assert (action.what, action.did, action.why) == ("stems", "Vocals: widened by 2.0 dB", "narrow")


@pytest.mark.parametrize(
    ("start_s", "excerpt_s", "span"),
    [(0.0, 30.0, (10.0, 14.0)), (11.0, 30.0, (0.0, 3.0)), (0.0, 12.0, (10.0, 12.0)), (0.0, 10.5, None)],
)
def test_the_player_takes_what_it_holds_of_the_passage(start_s, excerpt_s, span):
    stem = song(4.0)
    mix = MixSound(10.0, (-20.0, -18.0), {"vocals": StemSound(stem, stem), "residual": StemSound(stem, stem)})
    found = stem_sides(mix, start_s, choose_excerpt(excerpt_s, []))
    if span is None:
        assert found is None
        return
    assert (found.start_s, found.stop_s) == pytest.approx(span)
    assert [each.label for each in found.stems] == ["Vocals", "Rest"]
    assert all(each.after is each.before for each in found.stems)
    assert found.stems[0].before.frames == pytest.approx((span[1] - span[0]) * stem.rate, abs=1)
