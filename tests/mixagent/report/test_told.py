"""What the report tells: findings before and after, and actions by what they did to the sound."""

import itertools
import math
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from mixagent.pipeline.chain.parameters import GRAPHIC_HZ, ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Finding
from mixagent.pipeline.finaliser.targets import PLATFORMS
from mixagent.pipeline.finished.band import finished_music_band, judge
from mixagent.pipeline.finished.findings import BY_NAME, FAULTS, FOUND
from mixagent.pipeline.finished.measures import GROUPS, INDEX, KIND, MEASURES, TONE_HZ, SongMeasures
from mixagent.pipeline.finished.reasons import faults_answered
from mixagent.pipeline.measure.changes import BandGain
from mixagent.pipeline.types import Audio
from mixagent.report import charts
from mixagent.report.actions import UNCERTAIN, Made, actions, answers, hz_words, regions, span_words
from mixagent.report.findings import (
    PATHOLOGY,
    finding_rows,
    found_rows,
    judged,
    judged_section,
    told_rows,
    with_wholes,
)
from mixagent.report.spectrogram import COLUMNS, ROWS, band_levels_db, png, spectrograms
from mixagent.report.words import FIRST_PLATFORMS, change_words, percent, platforms_first
from mixagent.session.reporting.delivery import platform_facts

SPACE = ParameterSpace.for_stems(())
BAND = finished_music_band().band
RATE = 44_100


def song(**spreads: float) -> SongMeasures:
    """A song in the middle of finished music, its measures moved by so many spreads; of the band's kind."""
    values = np.where(np.isfinite(BAND.mean), BAND.mean, 0.0)
    for name, by in spreads.items():
        values[INDEX[name]] += by * BAND.spread[INDEX[name]]
    kind = finished_music_band().kind
    return SongMeasures(values, kind.mean + 3 * kind.spread * np.sign(kind.direction))


STRANGE = np.where([name == "onsets" for name in KIND], 1.0, -100.0 * finished_music_band().kind.direction)
"""The kind of a song that is as unlike generated ones as can be, in which something strikes now and then."""


def of(fault: str, spreads: float) -> dict[str, float]:
    return dict.fromkeys(BY_NAME[fault].measures, spreads)


def moved(start: SongMeasures, **by_db: float) -> SongMeasures:
    values = start.values.copy()
    for name, change in by_db.items():
        values[INDEX[name]] += change
    return replace(start, values=values)


def graphic(what: str, gains: dict[int, float]) -> dict[str, float]:
    return {f"graphic.{what}_{hz}_db": gain for hz, gain in gains.items()}


def made(values: dict[str, float], **kwargs) -> Made:
    return Made(SPACE.settings(values), {}, **kwargs)


def test_every_fault_is_told_with_severity_place_and_distance_of_the_same_sign():
    for fault in FAULTS:
        sign = 1 if fault.side == "high" else -1
        row = {r.name: r for r in finding_rows(judge(song(**of(fault.name, 4.0 * sign))), [])}[fault.name]
        assert row.found == (row.severity >= FOUND)
        assert row.found, fault.name
        assert row.apart * sign > 0
        assert row.place == fault.place
        assert fault.says.lower() in row.sentence.lower()
        assert row.pathology in {None, "shimmer", "mud", "holes", "panning", "flatness"}
    assert set(PATHOLOGY) <= set(BY_NAME)


def test_a_song_in_the_middle_of_finished_music_has_no_fault():
    assert found_rows(finding_rows(judge(song()), [])) == []


def test_what_does_not_count_as_found_is_not_called_by_its_name():
    rows = finding_rows(judge(song(**of("muddy", 0.3))), [])
    (row,) = [row for row in rows if row.name == "muddy"]
    assert not row.found
    assert BY_NAME["muddy"].says not in row.sentence.lower()


def test_a_severity_falls_exactly_where_the_song_came_nearer_though_its_kind_changed():
    start = song(**of("muddy", 3.0))
    before = judged(start)
    for by in (-4.0, 4.0):
        after = moved(start, **dict.fromkeys(BY_NAME["muddy"].measures, by))
        stranger = replace(after, kind=STRANGE)
        was, now = (
            {row.name: row.severity for row in finding_rows(judgement, [])}["muddy"]
            for judgement in (before, judged(stranger, before))
        )
        assert (now > was) == (by > 0)


def test_defects_that_were_found_stand_before_the_faults_and_the_old_severities_nowhere():
    diagnosis = [
        Finding("clipping", 0.6, "everywhere", "12 flat tops", {}),
        Finding("mud", 0.6, "everywhere", "5 dB over", {}),
        Finding("hum", 0.2, "everywhere", "none", {}),
        Finding("mono", 0.6, "everywhere", "one channel", {}),
    ]
    rows = finding_rows(judge(song()), diagnosis)
    assert [row.name for row in rows if row.kind == "defect"] == ["clipping"]
    assert rows[0].sentence == "12 flat tops"
    assert {row.name for row in rows[1:]} == set(BY_NAME)
    assert finding_rows(None, diagnosis) == rows[:1]


def test_what_a_song_was_held_against_is_told_by_its_kind():
    strict = judged_section(judge(song()))
    assert strict is not None
    assert strict.words.endswith("judged strictly.")
    assert str(BAND.songs) in strict.words
    stranger = replace(song(), kind=STRANGE)
    assert "a kind of its own" in judged_section(judge(stranger)).words
    assert judged_section(None) is None


def test_a_fault_is_found_exactly_beyond_the_edge_that_is_drawn_for_it():
    table = judged_section(judge(song())).measures
    for beyond in (-0.02, 0.02):
        values = song().values.copy()
        for name in BY_NAME["honky"].measures:
            k = INDEX[name]
            values[k] = table[name].high + beyond * BAND.spread[k]
        rows = finding_rows(judge(replace(song(), values=values)), [])
        assert {row.name: row.found for row in rows}["honky"] == (beyond > 0)


def test_bands_that_went_one_way_are_one_region_and_small_changes_none():
    hz = list(TONE_HZ)
    changes = np.zeros(len(hz))
    changes[8:12], changes[20:23] = (-1.0, -2.0, -3.0, -2.0), 1.5
    changes[15] = 0.7
    found = regions(changes, hz, np.ones(len(hz), np.bool_))
    assert [(r.places.start, r.places.stop) for r in found] == [(8, 12), (20, 23)]
    assert found[0].change_db == pytest.approx(-2.0)
    assert (found[0].most_db, found[0].most_hz) == (-3.0, hz[10])
    assert found[0].low_hz == pytest.approx(hz[8] / 2 ** (1 / 6))
    assert regions(changes, hz, np.zeros(len(hz), np.bool_)) == []


def test_a_move_of_the_graphic_equaliser_is_told_once_by_what_was_measured_and_not_by_its_setting():
    gains = {hz: -6.0 for hz in GRAPHIC_HZ if 200 <= hz <= 500}
    start = song(**of("muddy", 3.0))
    end = moved(start, **dict.fromkeys(BY_NAME["muddy"].measures, -3.7))
    before = judged(start)
    told = actions(before, judged(end, before), made(graphic("tone", gains)))
    (action,) = [row for row in told if row.what == "tone"]
    assert action.change == pytest.approx(-3.7)
    assert action.answers == ("muddy",)
    (sentence,) = [answer.words for answer in answers(told) if answer.title == "Tone"]
    assert sentence.startswith("Tone: 180–560 Hz lowered by 3.7 dB (most 3.7 dB at ")
    assert sentence.endswith(": the low mids are thick")
    assert "6.0" not in sentence


def test_what_was_done_without_a_finding_says_so():
    start = song(**of("muddy", 0.4))
    end = moved(start, **dict.fromkeys(BY_NAME["muddy"].measures, -1.0))
    before = judged(start)
    gains = {hz: -1.0 for hz in GRAPHIC_HZ if 200 <= hz <= 500}
    (action,) = actions(before, judged(end, before), made(graphic("tone", gains)))
    assert action.answers == ()
    assert action.why == UNCERTAIN


def test_what_came_of_other_things_is_not_told_as_what_the_equaliser_did():
    start = song(**of("glassy", 3.0))
    end = moved(start, **dict.fromkeys(BY_NAME["glassy"].measures, -3.0))
    before = judged(start)
    gains = dict.fromkeys((hz for hz in GRAPHIC_HZ if 6300 <= hz <= 12500), 0.4)
    (action,) = actions(before, judged(end, before), made(graphic("tone", gains)))
    assert action.answers == ()
    assert action.why == "it comes with the level and the rest"


def test_bands_that_nothing_reached_are_no_action_though_the_level_of_the_rest_moved_them():
    gains = {hz: -8.0 for hz in GRAPHIC_HZ if 200 <= hz <= 500}
    start = song()
    others = {f"tone_{int(hz)}": 1.9 for hz in TONE_HZ if not 200 <= hz <= 500}
    inside = {f"tone_{int(hz)}": -6.1 for hz in TONE_HZ if 200 <= hz <= 500}
    before = judged(start)
    told = actions(before, judged(moved(start, **others, **inside), before), made(graphic("tone", gains)))
    assert [(row.what, row.change) for row in told] == [("tone", pytest.approx(-6.1))]


def test_no_action_contradicts_what_was_found():
    """Each fault, brought half way back: what is told raises what was low and lowers what was high."""
    opposite = {"raised": "high", "widened": "high", "lowered": "low", "narrowed": "low"}
    for fault in (f for f in FAULTS if f.group in ("tone", "width")):
        sign = 1.0 if fault.side == "high" else -1.0
        start = song(**of(fault.name, 4.0 * sign))
        back = {name: -2.0 * sign * BAND.spread[INDEX[name]] for name in fault.measures}
        hz = [float(name.rsplit("_", 1)[1]) for name in fault.measures]
        gain_db = float(np.clip(np.mean(list(back.values())), -18.0, 18.0))
        moves = {at: gain_db for at in GRAPHIC_HZ if min(hz) - 1 <= at <= max(hz)}
        before = judged(start)
        told = actions(before, judged(moved(start, **back), before), made(graphic(fault.group, moves)))
        (action,) = [row for row in told if fault.name in row.answers]
        assert fault.says in action.why
        (verb,) = [verb for verb in opposite if verb in action.did]
        assert opposite[verb] != fault.side


def test_a_range_that_nothing_was_set_for_is_no_answer_to_a_finding():
    start = song(**of("monotone", -1.4))
    end = moved(start, loudness_range=1.5)
    before = judged(start)
    (action,) = actions(before, judged(end, before), made({}))
    assert (action.what, action.answers) == ("range", ())
    (answered,) = actions(
        before, judged(moved(end, section_contrast=1.0), before), made({"master.ride_db": 3.0})
    )
    assert answered.answers == ("monotone",)
    was, now = start["loudness_range"], end["loudness_range"]
    assert answered.did == f"{was:.1f} → {now:.1f} LU"


def test_a_repair_is_told_by_what_it_did_and_not_at_all_where_it_found_nothing():
    gains = [BandGain(8000.0, -0.3, -9.0, 8700.0, 0.4), BandGain(10000.0, -0.5, -4.0, 9500.0, 0.5)]
    values = {"master.resonance_cut_db": 24.0}
    before, after = judged(song()), judged(song())
    done = actions(before, after, made(values, repairs={"master.resonance_cut_db": gains}))
    assert len(done) == 1
    said = "7.1–11 kHz lowered a little, by 0.4 dB in 50 % of the time, most 9.0 dB at 8.7 kHz"
    assert said in done[0].did
    assert "24" not in done[0].did
    assert actions(before, after, made(values, repairs={"master.resonance_cut_db": []})) == []


def test_changes_are_told_by_their_size():
    told = [change_words("raised", change_db) for change_db in (1.4, 1.5, -4.0, 4.1)]
    assert told == [
        "raised a little, by 1.4 dB",
        "raised by 1.5 dB",
        "raised by 4.0 dB",
        "raised much, by 4.1 dB",
    ]


def test_a_group_is_named_where_no_single_fault_stands_for_it():
    spread = {f"tone_{int(hz)}": 0.7 * (-1) ** k for k, hz in enumerate(TONE_HZ)}
    whole = judge(song(**spread))
    assert [row.name for row in told_rows(finding_rows(whole, []))] == ["other tone"]
    muddy = judge(song(**{**spread, **of("muddy", 3.0)}))
    assert {"muddy", "other tone"} <= {row.name for row in found_rows(finding_rows(muddy, []))}
    assert "other tone" not in {row.name for row in told_rows(finding_rows(muddy, []))}
    assert "other tone" in {row.name for row in told_rows(finding_rows(muddy, []), {"other tone"})}
    assert with_wholes({"muddy", "hole"}) == {"muddy", "hole", "other tone"}


def test_what_was_moved_for_a_group_as_a_whole_says_how_far_out_it_was_there():
    start = song(**{f"tone_{int(hz)}": 0.7 * (-1) ** (k // 7) for k, hz in enumerate(TONE_HZ)})
    before = judged(start)
    back = {f"tone_{int(hz)}": -0.5 * BAND.spread[INDEX[f"tone_{int(hz)}"]] for hz in TONE_HZ[14:21]}
    gains = {int(hz): -2.0 for hz in TONE_HZ[14:21]}
    (action,) = actions(before, judged(moved(start, **back), before), made(graphic("tone", gains)))
    out_db = 0.7 * np.mean([BAND.spread[INDEX[name]] for name in back])
    assert action.answers == ("other tone",)
    assert action.why.endswith(f"here it was {out_db:.1f} dB over")


def test_what_was_set_for_dynamics_counts_as_tried():
    assert faults_answered({"master.ride_db": 1.0, "graphic.tone_31_db": 2.0}) == {"monotone"}
    assert faults_answered({"master.ride_db": -1.0, "high_band.transient_attack_db": -2.0}) == {
        "uneven",
        "spiky",
    }
    assert faults_answered({}) == set()


def test_spans_are_told_in_two_digits():
    assert span_words(178.2, 561.2) == "180–560 Hz"
    assert span_words(449.0, 4490.0) == "450 Hz–4.5 kHz"
    assert span_words(89.1, 141.3) == "90–140 Hz"
    assert (hz_words(315.0), hz_words(6300.0)) == ("315 Hz", "6.3 kHz")
    assert [percent(share) for share in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "0 %",
        "1 %",
        "50 %",
        "99 %",
        "100 %",
    ]


def sides(before: SongMeasures, after: SongMeasures) -> charts.Sides:
    return charts.Sides(judged_section(judge(before)), before, after)


def heights(path: str) -> list[float]:
    return [float(point.split()[1]) for point in path.replace("M", "L").strip("LZ").split("L")]


def test_the_tone_chart_spans_thirty_db_about_finished_music_with_its_band_behind():
    drawn = charts.tone_chart(sides(song(), moved(song(), tone_1000=3.0)))
    lines = {line.kind: heights(line.path) for line in drawn.lines}
    assert list(lines) == ["inner", "edge", "mean", "before", "after"]
    assert lines["before"] == lines["mean"] == pytest.approx([500.0] * len(TONE_HZ), abs=0.1)
    at = TONE_HZ.index(1000.0)
    assert 500.0 - lines["after"][at] == pytest.approx(3.0 / charts.SPAN_DB * charts.BOX, abs=0.1)
    spread = BAND.spread[INDEX["tone_1000"]]
    assert 500.0 - lines["inner"][at] == pytest.approx(spread / charts.SPAN_DB * charts.BOX, abs=0.1)


def test_the_middle_of_finished_music_stays_in_sight_however_far_out_a_song_is():
    for by in (-60.0, 60.0):
        far = moved(song(), **{f"tone_{int(hz)}": by for hz in TONE_HZ[:20]})
        drawn = charts.tone_chart(sides(far, far))
        middle = heights(next(line.path for line in drawn.lines if line.kind == "mean"))
        assert all(charts.BOX / 4 < y < 3 * charts.BOX / 4 for y in middle)


def test_a_mono_song_has_no_chart_of_width():
    values = song().values.copy()
    values[GROUPS["width"]] = math.nan
    assert charts.width_chart(sides(replace(song(), values=values), song())) is None
    assert charts.width_chart(sides(song(), song())) is not None


def test_gauges_stand_in_the_middle_for_a_song_in_the_middle():
    for row in charts.gauges(sides(song(), song())):
        assert row.at == pytest.approx((50.0, 50.0), abs=0.1)
        assert row.inner == pytest.approx((37.5, 25.0), abs=0.1)
        assert all(edge is None or (edge < 50.0) == (side == 0) for side, edge in enumerate(row.edges))


def test_the_platforms_that_matter_come_first_and_the_one_aimed_at_with_them():
    names = ["deezer", "tidal", "cd", "amazon", "spotify", "youtube", "apple", "club"]
    first, rest = platforms_first(
        [replace(platform_facts(PLATFORMS["spotify"]), platform=name) for name in names], "club"
    )
    assert [row.platform for row in first] == [*FIRST_PLATFORMS, "club"]
    assert [row.platform for row in rest] == ["deezer", "cd"]


def tone(hz: float, seconds: float = 2.0, gain: float = 0.2) -> Audio:
    wave = gain * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return Audio(np.stack([wave, wave]).astype(np.float32), RATE)


@pytest.mark.parametrize("hz", [100.0, 1000.0, 8000.0])
def test_a_tone_is_the_brightest_row_of_its_spectrogram_at_its_level(hz):
    levels = band_levels_db(tone(hz), 2.0)
    assert levels.shape == (ROWS, COLUMNS)
    row = int(np.argmax(levels[:, COLUMNS // 2]))
    centre = 20_000.0 * (30.0 / 20_000.0) ** ((row + 0.5) / ROWS)
    assert centre == pytest.approx(hz, rel=0.12)


def decoded(data: bytes) -> np.ndarray:
    """Opacity and colours of a PNG of indexed colours, by an independent reading of its chunks."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    opacity = np.frombuffer(chunks[b"tRNS"], np.uint8)
    return np.concatenate([palette[lines[:, 1:]], opacity[lines[:, 1:]][..., None]], axis=2)


def test_an_image_is_a_whole_png():
    colours = np.array([[1, 2, 3, 255], [200, 100, 50, 0]], np.uint8)
    levels = np.array([[0, 1, 0], [1, 1, 0]], np.uint8)
    assert np.array_equal(decoded(png(levels, colours)), colours[levels])


def test_what_did_not_change_but_in_level_is_drawn_as_nothing():
    import base64

    loud, quiet = tone(1000.0), tone(1000.0, gain=0.05)
    lufs = (-14.0, -14.0 + 20 * math.log10(0.25))
    images = spectrograms(loud, quiet, lufs)
    assert images is not None
    change = decoded(base64.b64decode(images.change.partition(",")[2]))
    assert change[..., 3].max() <= 16
    assert images.before == images.after
    assert spectrograms(loud, quiet, (-math.inf, -math.inf)) is None
    assert spectrograms(tone(1000.0, 0.01), tone(1000.0, 0.01), lufs) is None


def test_names_of_measures_and_kinds_are_unique():
    assert len({m.name for m in MEASURES}) == len(MEASURES)
    assert all(a.name != b.name for a, b in itertools.combinations(FAULTS, 2))
