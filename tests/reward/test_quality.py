"""The quality terms: what they are given to hear, how a fall counts, and what happens without weights."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.models import nisqa_path, wheel_files
from mixagent.pipeline.types import Audio
from mixagent.reward.adversarial_edits import edit_adversarially
from mixagent.reward.model import load_reward
from mixagent.reward.quality import LEVEL_DBOV, DistillMos, Nisqa, VoiceQuality, levelled, nisqa_term
from mixagent.reward.render_pair import AnalysedAudio, AnalysedStems, RenderPair
from tests.reward.render_pairs import RATE, gained, make_song

SONG = make_song(seconds=1.0)
SUNG = gained(SONG, -1.0)
NISQA_OPTIONS = {
    "ms_sr": None,
    "ms_fmax": 20000,
    "ms_n_fft": 4096,
    "ms_hop_length": 0.01,
    "ms_win_length": 0.02,
    "ms_n_mels": 48,
    "ms_seg_length": 15,
    "ms_seg_hop_length": 4,
    "ms_max_segments": 1300,
    "cnn_model": "adapt",
    "cnn_c_out_1": 16,
    "cnn_c_out_2": 32,
    "cnn_c_out_3": 64,
    "cnn_kernel_size": (3, 3),
    "cnn_dropout": 0.2,
    "cnn_fc_out_h": None,
    "cnn_pool_1": [24, 7],
    "cnn_pool_2": [12, 5],
    "cnn_pool_3": [6, 3],
    "td": "self_att",
    "td_sa_d_model": 64,
    "td_sa_nhead": 1,
    "td_sa_pool_size": None,
    "td_sa_pos_enc": False,
    "td_sa_num_layers": 2,
    "td_sa_h": 64,
    "td_sa_dropout": 0.1,
    "td_lstm_h": None,
    "td_lstm_num_layers": None,
    "td_lstm_dropout": None,
    "td_lstm_bidirectional": None,
    "td_2": "skip",
    "td_2_sa_d_model": None,
    "td_2_sa_nhead": None,
    "td_2_sa_pool_size": None,
    "td_2_sa_pos_enc": None,
    "td_2_sa_num_layers": None,
    "td_2_sa_h": None,
    "td_2_sa_dropout": None,
    "td_2_lstm_h": None,
    "td_2_lstm_num_layers": None,
    "td_2_lstm_dropout": None,
    "td_2_lstm_bidirectional": None,
    "pool": "att",
    "pool_output_size": 1,
    "pool_att_h": 128,
    "pool_att_dropout": 0,
    "pool_lstm_dropout": None,
    "pool_lstm_h": None,
    "pool_lstm_num_layers": None,
    "pool_lstm_bidirectional": None,
}
"""The network's size and its spectrogram, as the official file states them."""

here = {"nisqa": nisqa_path().is_file(), "distillmos": bool(wheel_files("distillmos", "weights/*.pt"))}


class Opinions:
    """A rater that says what it was told to, in order, and keeps what it heard."""

    def __init__(self, *opinions: float) -> None:
        self._opinions = list(opinions)
        self.heard: list[np.ndarray] = []

    def rate(self, monos: np.ndarray, rate: int) -> np.ndarray:
        """The next opinions."""
        self.heard.extend(monos)
        return np.array([self._opinions.pop(0) for _ in monos])


def _pair(before: Audio | None = SONG, after: Audio | None = SUNG, features: np.ndarray | None = None):
    stems = [AnalysedStems(AnalysedAudio(SONG), {"vocals": a} if a else {}) for a in (before, after)]
    render = AnalysedAudio(SONG, features)
    return RenderPair(AnalysedAudio(SONG), render, stems_before=stems[0], stems_after=stems[1])


def _active_dbov(mono: np.ndarray) -> float:
    frames = mono[: mono.size // 882 * 882].reshape(-1, 882).astype(float)
    powers = np.mean(frames**2, axis=1)
    return 10 * np.log10(powers[powers > powers.max() / 1000].mean())


@pytest.mark.parametrize("gain_db", [-40.0, 0.0, 12.0])
def test_a_voice_is_levelled_whatever_its_level_and_its_pauses(gain_db):
    paused = np.pad(gained(SONG, gain_db).samples, ((0, 0), (0, RATE)))
    assert _active_dbov(levelled(Audio(paused, RATE))) == pytest.approx(LEVEL_DBOV, abs=0.05)


def test_silence_and_scraps_have_no_voice():
    assert levelled(Audio(np.zeros((2, RATE), np.float32), RATE)) is None
    assert levelled(Audio(SONG.samples[:, : RATE // 4], RATE)) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(4.0, 4.5, 0.0), (4.0, 3.95, 0.0), (4.0, 3.45, -0.5), (4.0, 1.0, -1.0)]
)
def test_only_a_fall_counts_and_it_is_capped(before, after, expected):
    opinions = Opinions(before, after)
    term = VoiceQuality("voice", lambda: opinions, free=0.1, full=1.0)
    assert term.score([_pair()])[0] == pytest.approx(expected)
    assert all(_active_dbov(mono) == pytest.approx(LEVEL_DBOV, abs=0.05) for mono in opinions.heard)


def test_the_same_input_is_heard_once_for_many_renders():
    opinions = Opinions(4.0, 3.0, 4.0, 2.0)
    pairs = [_pair(after=gained(SONG, -k)) for k in (1.0, 2.0, 3.0)]
    scores = VoiceQuality("voice", lambda: opinions).score(pairs)
    assert scores == pytest.approx([-1.0, 0.0, -1.0])
    assert len(opinions.heard) == 4


@pytest.mark.parametrize("judged", [_pair(None), _pair(SONG, None)])
def test_without_a_voice_there_is_no_opinion(judged):
    assert np.isnan(VoiceQuality("voice", Opinions).score([judged])[0])


def test_one_pair_in_so_many_is_judged_and_always_the_same_ones():
    pairs = [_pair(after=gained(SONG, -0.05 * k), features=np.full(3, k)) for k in range(1, 61)]
    first, again = (
        ~np.isnan(VoiceQuality("voice", lambda: Opinions(*[4.0] * 61), every=4).score(pairs))
        for _ in range(2)
    )
    assert 5 <= first.sum() <= 28
    np.testing.assert_array_equal(first, again)


def test_missing_weights_leave_the_term_out_with_a_line_in_the_log(caplog, tmp_path):
    term = nisqa_term(str(tmp_path / "nisqa.tar"))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert np.isnan(term.score([_pair(), _pair()])).all()
        assert np.isnan(term.score([_pair()])[0])
    assert "models pull nisqa" in caplog.text
    assert len(caplog.records) == 1


def test_missing_weights_that_are_required_are_an_error(tmp_path):
    row = {"weight": 1.0, "path": str(tmp_path / "nisqa.tar"), "required": True}
    with pytest.raises(ModelMissingError, match="models pull nisqa"):
        load_reward({"terms": {"nisqa": row}})


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_not_nisqas_is_refused_by_its_name(tmp_path, content):
    file = tmp_path / "nisqa.tar"
    file.write_bytes(content)
    with pytest.raises(ModelMissingError, match=r"nisqa\.tar"):
        Nisqa(file)


def test_nisqas_own_network_loads_from_a_file_and_rates_a_voice(tmp_path):
    nisqa = pytest.importorskip("torchmetrics.functional.audio.nisqa")
    torch.manual_seed(0)
    network = nisqa._NISQADIM(NISQA_OPTIONS)
    file = tmp_path / "nisqa.tar"
    torch.save({"args": NISQA_OPTIONS, "model_state_dict": network.state_dict()}, file)
    rater = Nisqa(file)
    assert np.isfinite(rater.rate(levelled(SONG)[None], RATE)[0])


@pytest.mark.skipif(not here["nisqa"], reason="NISQA's weights are not on this machine")
def test_nisqa_with_its_official_weights_hears_a_clipped_voice():
    rater = Nisqa(Path(nisqa_path()))
    whole, ruined = (
        rater.rate(levelled(a)[None], RATE)[0] for a in (SONG, edit_adversarially(SONG, "dropouts"))
    )
    assert 0.5 < ruined < 5.0
    assert 0.5 < whole < 5.0


@pytest.mark.skipif(not here["distillmos"], reason="the wheel distillmos is not installed")
def test_distillmos_rates_between_one_and_five_deaf_to_level_and_leaves_no_stand_in(capsys):
    rater = DistillMos()
    scores = [rater.rate(levelled(gained(SONG, db))[None], RATE)[0] for db in (0.0, -20.0)]
    assert 1.0 <= scores[0] <= 5.0
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    assert "torchaudio" not in sys.modules
    assert capsys.readouterr().out == ""
