from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from mixagent.envs.case_building import Builder, build_cases
from mixagent.envs.cases import (
    STAGES,
    Case,
    CaseStore,
    Curriculum,
    Damage,
    draw_damage,
    kinds_of,
    make_case,
)
from mixagent.envs.corpus import Corpus
from mixagent.envs.disorders import Disorder, draw_disorder
from mixagent.envs.pathologies import KINDS, MECHANISMS
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.errors import CancelledError, InputError, OutputError, UsageError
from mixagent.pipeline.finaliser.targets import TARGETS
from mixagent.pipeline.types import Audio, Stems, load
from mixagent.reward.recovery import Original
from tests.short_cases import RATE, HalfSeparator, music

TARGET = TARGETS["streaming"]
NONE = Damage({}, {}, None, 0)
MUDDY = Damage({"mud": 0.8}, {"mud": "bell"}, None, 3)


def power(samples: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize(("stage", "count"), [("none", 0), ("single", 1), ("pair", 2), ("all", 5)])
def test_a_stage_draws_its_number_of_pathologies(stage: Curriculum, count: int) -> None:
    drawn = draw_damage(np.random.default_rng(1), stage)
    assert len(drawn.severities) == count
    assert set(drawn.mechanisms) == set(drawn.severities) <= set(KINDS)
    assert all(0.2 <= severity <= 1.0 for severity in drawn.severities.values())


def test_training_never_meets_a_mechanism_kept_for_validation() -> None:
    random = np.random.default_rng(2)
    kept = {(kind, m.name) for kind in KINDS for m in MECHANISMS[kind] if m.validation_only}
    for validation in (False, True):
        drawn = [draw_damage(random, "all", validation) for _ in range(40)]
        met = {pair for damage in drawn for pair in damage.mechanisms.items()}
        assert met <= kept if validation else not met & kept


def test_the_same_seed_draws_the_same_damage() -> None:
    for stage in STAGES:
        once, twice = (draw_damage(np.random.default_rng(5), stage) for _ in range(2))
        assert once == twice


def test_an_undamaged_case_is_its_original_at_distance_zero() -> None:
    case = make_case("clean", music(), NONE, None, TARGET)
    assert case.original is not None
    assert np.array_equal(load(case.stems.mix).samples, case.original.samples)
    assert case.distance is not None
    assert case.distance.total == 0.0


def test_damage_keeps_the_power_and_is_measured_against_the_original() -> None:
    original = music()
    case = make_case("muddy", original, MUDDY, None, TARGET)
    mix = load(case.stems.mix)
    assert power(mix.samples) == pytest.approx(power(original.samples), rel=1e-3)
    assert case.distance == Original(original).distance(mix)
    assert case.distance is not None
    assert case.distance.tone > 1.0
    assert not case.stems.parts


RAISED = Disorder.balance({"vocals": 6.0})


def test_a_scrambled_balance_raises_its_stem_against_the_rest() -> None:
    raised = Damage({}, {}, RAISED, 0)
    case = make_case("loud voice", music(), raised, HalfSeparator(), TARGET)
    assert case.original is not None
    before = HalfSeparator().separate(case.original, Path()).parts
    change_db = {
        name: 10 * np.log10(power(load(case.stems.parts[name]).samples) / power(load(part).samples))
        for name, part in before.items()
    }
    assert change_db["vocals"] - change_db["accompaniment"] == pytest.approx(6.0, abs=0.1)
    assert power(load(case.stems.mix).samples) == pytest.approx(power(case.original.samples), rel=1e-3)
    assert case.damage is not None
    assert case.damage.kinds == ("balance",)


def test_a_case_knows_how_loud_its_stems_were_and_are() -> None:
    case = make_case("loud voice", music(), Damage({}, {}, RAISED, 0), HalfSeparator(), TARGET)
    assert case.true_levels is not None
    was, now = case.true_levels.original_db, case.true_levels.disordered_db
    apart_db = (now["vocals"] - now["accompaniment"]) - (was["vocals"] - was["accompaniment"])
    assert apart_db == pytest.approx(6.0, abs=0.05)


def test_true_stems_are_put_in_disorder_where_they_are_known() -> None:
    """Here the voice is the upper half of the song, which the separator takes for accompaniment."""
    song = music()
    found = HalfSeparator().separate(song, Path()).parts
    known = Stems(song, {"vocals": found["accompaniment"], "bass": found["vocals"]})
    case = make_case("a", song, Damage({}, {}, RAISED, 0), HalfSeparator(), TARGET, true_stems=known)
    ratio_db = [
        10 * np.log10(power(load(parts["accompaniment"]).samples) / power(load(parts["vocals"]).samples))
        for parts in (found, case.stems.parts)
    ]
    assert ratio_db[1] - ratio_db[0] == pytest.approx(6.0, abs=0.1)


def test_a_disorder_without_its_stems_is_left_out_of_what_was_done() -> None:
    case = make_case("no stems", music(), Damage({}, {}, RAISED, 0), None, TARGET)
    assert case.damage is not None
    assert case.damage.disorder is None
    assert case.damage.kinds == ()


def test_a_case_of_an_older_version_keeps_its_balance() -> None:
    stored = {"severities": {}, "mechanisms": {}, "balance_db": {"vocals": 6.0}, "seed": 1, "rough": False}
    assert Damage.from_json(stored) == Damage({}, {}, RAISED, 1)
    assert Damage.from_json({**stored, "balance_db": {}}) == Damage({}, {}, None, 1)


def test_a_stored_case_keeps_its_disorder_and_its_song(tmp_path: Path) -> None:
    done = Damage({}, {}, draw_disorder(np.random.default_rng(1), ("vocals", "accompaniment")), 0)
    case = make_case("song@1#2", music(3.0), done, HalfSeparator(), TARGET, slice(RATE, 2 * RATE))
    store = CaseStore(tmp_path)
    store.save(case)
    back = store.load(case.name)
    assert back.damage == case.damage
    assert back.true_levels == case.true_levels
    space = ParameterSpace.for_stems(("vocals", "accompaniment"))
    mine, theirs = back.context(space), case.context(space)
    assert (mine.mix, mine.stems, mine.diagnosis) == (theirs.mix, theirs.stems, theirs.diagnosis)
    np.testing.assert_array_equal(mine.bands(), theirs.bands())
    np.testing.assert_array_equal(mine.features["vocals"], theirs.features["vocals"])
    with pytest.raises(InputError, match="build it anew"):
        store.refresh([case.name])


def test_a_stored_case_comes_back_within_sixteen_bits(tmp_path: Path) -> None:
    case = make_case("song@1.50#2", music(), MUDDY, HalfSeparator(), TARGET)
    CaseStore(tmp_path).save(case)
    back = CaseStore(tmp_path).load(case.name)
    for field in ("name", "levels", "analysis", "stem_analyses", "diagnosis", "target", "damage", "distance"):
        assert getattr(back, field) == getattr(case, field), field
    assert back.holes.holes == case.holes.holes
    assert {name: tuple(f) for name, f in back.features.items()} == {
        name: tuple(f) for name, f in case.features.items()
    }
    for mine, theirs in ((back.stems.mix, case.stems.mix), (back.original, case.original)):
        assert mine is not None
        assert theirs is not None
        peak = np.abs(load(theirs).samples).max()
        error = np.abs(load(mine).samples - load(theirs).samples).max()
        assert error <= peak / 32767 * 0.51


def test_samples_that_lie_channel_by_channel_are_stored_as_they_sound(tmp_path: Path) -> None:
    sound = music()
    across = Audio(np.asfortranarray(sound.samples), sound.rate)
    case = make_case("song@1.50#2", across, NONE, None, TARGET)
    CaseStore(tmp_path).save(case)
    back = load(CaseStore(tmp_path).load(case.name).stems.mix).samples
    assert np.abs(back - sound.samples).max() <= np.abs(sound.samples).max() / 32767 * 0.51


def test_a_refreshed_store_holds_what_is_measured_of_its_samples(tmp_path: Path) -> None:
    store = CaseStore(tmp_path)
    case = make_case("a@1", music(), MUDDY, HalfSeparator(), TARGET)
    stale = {name: np.zeros_like(values) for name, values in case.features.items()}
    store.save(replace(case, features=stale, diagnosis=Diagnosis(())))
    shares: list[float] = []
    store.refresh(["a@1"], shares.append)
    back = store.load("a@1")
    assert shares == [1.0]
    assert back.diagnosis.severity("mud") == pytest.approx(case.diagnosis.severity("mud"), abs=0.01)
    for name, values in case.features.items():
        assert np.median(np.abs(back.features[name] - values)) < 0.05


def test_a_missing_or_broken_case_says_which(tmp_path: Path) -> None:
    store = CaseStore(tmp_path)
    with pytest.raises(InputError, match="nothing@1"):
        store.load("nothing@1")
    case = make_case("a@1", music(), NONE, None, TARGET)
    store.save(case)
    store.path("a@1").write_bytes(store.path("a@1").read_bytes()[:1000])
    with pytest.raises(InputError, match="a@1"):
        store.load("a@1")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    songs = folder / "songs"
    songs.mkdir()
    for number in range(2):
        audio = music(8.0 + number, number)
        soundfile.write(songs / f"{number}.wav", audio.samples.T, RATE)
    made = Corpus.open(folder / "index").add([songs], "train", shortest_s=5.0)
    assert len(made.songs("train", "clean truth")) == 2, made.skipped()
    return made


def build(store: CaseStore, corpus: Corpus, count: int, progress: Callable[[float], None] | None = None,
          disk_gb: float = 1.0, workers: int = 1, rough_share: float = 0.0) -> None:  # fmt: skip
    build_cases(store, corpus, "train", count, 0, workers, disk_gb, progress,
                seconds=0.5, stems_share=0.0, rough_share=rough_share)  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def test_cases_in_disorder_are_built_from_the_stems_that_a_separator_finds(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Builder, "_separator", lambda _: HalfSeparator())
    store = CaseStore(tmp_path)
    build_cases(store, corpus, "train", 6, seconds=0.5, disorder_share=1.0, heard_s=2.0)
    rows = store.rows()
    assert all(row["disorder"] for row in rows)
    assert {bool(row["severities"]) for row in rows} == {True, False}
    for row in rows:
        case = store.load(row["name"])
        assert case.damage is not None
        assert case.damage.kinds == kinds_of(row)
        assert case.analysis.duration_s == pytest.approx(0.5)
        assert case.song is not None
        assert case.song.analysis.duration_s == pytest.approx(2.0)
        assert case.true_levels is not None
        assert case.true_levels.original_db != case.true_levels.disordered_db


def test_a_build_that_was_stopped_goes_on_to_the_same_store(tmp_path: Path, corpus: Corpus) -> None:
    whole, stopped = CaseStore(tmp_path / "whole"), CaseStore(tmp_path / "stopped")
    build(whole, corpus, 5)

    def stop(share: float) -> None:
        if share >= 0.4:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        build(stopped, corpus, 5, stop)
    index = stopped.directory / "index.jsonl"
    index.write_text(index.read_text() + '{"number": 4, "na')
    assert len(stopped.names()) == 2
    build(stopped, corpus, 5)
    assert stopped.names("train") == whole.names("train")
    assert len(whole.names()) == 5
    assert files(stopped.directory) == files(whole.directory)


def test_a_build_stays_within_its_disk_budget(tmp_path: Path, corpus: Corpus) -> None:
    store = CaseStore(tmp_path)
    with pytest.raises(OutputError, match="budget"):
        build(store, corpus, 8, disk_gb=3e-4)
    assert 0 < len(store.names()) < 8


def test_names_can_be_asked_for_by_split_and_damage(tmp_path: Path, corpus: Corpus) -> None:
    store = CaseStore(tmp_path)
    build(store, corpus, 6)
    assert store.names("validation") == []
    for row in store.rows():
        kinds = tuple(row["severities"])
        assert row["name"] in store.names("train", kinds=kinds)
        case = store.load(row["name"])
        assert case.damage is not None
        assert set(case.damage.severities) == set(kinds)


def test_a_store_does_not_mix_cases_of_two_recipes_under_one_seed(tmp_path: Path, corpus: Corpus) -> None:
    store = CaseStore(tmp_path)
    build(store, corpus, 2)
    with pytest.raises(UsageError, match=r"rough_share=0\.0"):
        build(store, corpus, 3, rough_share=1.0)
    assert len(store.names()) == 2


def test_rough_cases_are_asked_for_by_that_name(tmp_path: Path, corpus: Corpus) -> None:
    store = CaseStore(tmp_path)
    build(store, corpus, 2, rough_share=1.0)
    assert store.names("train", kinds=["rough"]) == store.names("train")
    assert store.names("train", kinds=[]) == []


@pytest.mark.slow
def test_two_workers_build_what_one_builds(tmp_path: Path, corpus: Corpus) -> None:
    build(CaseStore(tmp_path / "one"), corpus, 4)
    build(CaseStore(tmp_path / "two"), corpus, 4, workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_split_without_songs_is_said(tmp_path: Path, corpus: Corpus) -> None:
    with pytest.raises(InputError, match="validation"):
        build_cases(CaseStore(tmp_path), corpus, "validation", 1)


def test_a_case_is_what_it_is_whatever_it_is_called(tmp_path: Path) -> None:
    case: Case = make_case("a", music(), MUDDY, None, TARGET)
    store = CaseStore(tmp_path)
    for name in ("../../etc/passwd", "ü/ö@3#4", "a" * 300):
        store.save(replace(case, name=name))
        assert store.load(name).name == name
    assert all(tmp_path in path.parents for path in tmp_path.rglob("*.safetensors"))


def test_a_segment_is_heard_within_its_song() -> None:
    """The whole is damaged and heard; the segment of it is what is rendered and judged."""
    song, done = music(3.0), Damage({"mud": 0.8}, {"mud": "bell"}, None, 4)
    segment = slice(RATE, 2 * RATE)
    whole = make_case("song", song, done, HalfSeparator(), TARGETS["streaming"])
    part = make_case("song", song, done, HalfSeparator(), TARGETS["streaming"], segment)
    heard = load(whole.stems.mix).samples
    np.testing.assert_array_equal(load(part.stems.mix).samples, heard[:, segment])
    np.testing.assert_array_equal(part.original.samples, song.samples[:, segment])
    for name, stem in whole.stems.parts.items():
        np.testing.assert_array_equal(load(part.stems.parts[name]).samples, load(stem).samples[:, segment])
    assert part.levels == whole.levels
    assert part.distance == Original(part.original).distance(load(part.stems.mix))
    space = ParameterSpace.for_stems(tuple(whole.stems.parts))
    ours, theirs = part.context(space), whole.context(space)
    assert ours.mix == theirs.mix
    assert ours.diagnosis == theirs.diagnosis
    assert ours.stems == theirs.stems
    np.testing.assert_array_equal(ours.features["mix"], theirs.features["mix"])
    np.testing.assert_array_equal(ours.measures.values, theirs.measures.values)
    np.testing.assert_array_equal(ours.bands(), theirs.bands())
    assert part.analysis.duration_s == pytest.approx(1.0)
