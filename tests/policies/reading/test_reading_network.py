"""The reading net in torch, in NumPy, and what is known of its moves without a render."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixagent.envs.synthetic import synthetic_song
from mixagent.pipeline.measure.song_bands import BANDS, EDGES_HZ, read_bands
from mixagent.policies.reading.distance import LongTerm, distance
from mixagent.policies.reading.ends import NO_END, highest_bands
from mixagent.policies.reading.examples import swapped
from mixagent.policies.reading.forward import FrozenReader
from mixagent.policies.reading.network import GAINS, MOST_DB, THIRDS, ReadingNet, Shape
from mixagent.policies.reading.summary import Summary, shown
from mixagent.reward.recovery import UNIT_DB, Original

SMALL = Shape(width=16, blocks=2, summary=24, beside=4)
SONGS = [synthetic_song(seed, 4.0) for seed in range(2)]
HEARD = np.stack([read_bands(song).stacked() for song in SONGS])
SUMMARIES = [Summary.of(heard[None]) for heard in HEARD]
ROWS = shown(np.stack([s.powers for s in SUMMARIES]), np.stack([s.spreads for s in SUMMARIES]))
FIGURES = np.stack([s.figures for s in SUMMARIES])


def _random_net(seed: int = 0) -> ReadingNet:
    torch.manual_seed(seed)
    net = ReadingNet(SMALL).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net


def _frozen(net: ReadingNet) -> FrozenReader:
    return FrozenReader({name: value.numpy() for name, value in net.state_dict().items()})


def test_an_untrained_net_moves_nothing() -> None:
    assert not ReadingNet(SMALL).eval()(torch.from_numpy(ROWS), torch.from_numpy(FIGURES)).any()


@torch.no_grad()
def test_numpy_gives_torchs_moves() -> None:
    net = _random_net()
    moves = net(torch.from_numpy(ROWS), torch.from_numpy(FIGURES))
    assert moves.abs().max() > 0.5
    np.testing.assert_allclose(_frozen(net).moves(ROWS, FIGURES), moves.numpy(), atol=1e-3)


def test_moves_end_at_the_most() -> None:
    net = _random_net()
    with torch.no_grad():
        net.leave.bias.fill_(100.0)
    assert np.abs(_frozen(net).moves(ROWS, FIGURES)).max() <= MOST_DB


def test_a_song_is_shown_alike_at_any_level_and_in_any_cut() -> None:
    song = SONGS[0]
    quiet = Summary.of(read_bands(type(song)(song.samples * np.float32(0.1), song.rate)).stacked()[None])
    np.testing.assert_allclose(quiet.powers, SUMMARIES[0].powers, rtol=1e-3, atol=1e-7)
    twice = Summary.of(np.stack([HEARD[0], HEARD[0]]))
    np.testing.assert_allclose(twice.powers, SUMMARIES[0].powers, rtol=1e-4)
    np.testing.assert_allclose(twice.spreads, SUMMARIES[0].spreads, rtol=1e-4, atol=1e-4)


def _long_term(stacked: np.ndarray) -> LongTerm:
    return LongTerm.of(torch.from_numpy(stacked[None]))


def test_moves_worked_out_on_long_term_bands_are_those_of_the_gains() -> None:
    gains = torch.zeros(1, GAINS, THIRDS)
    gains[0, 0], gains[0, 1] = 3.0, -4.0
    before = _long_term(HEARD[0])
    after = before.moved(gains)
    torch.testing.assert_close(after.mid, before.mid * 10**0.3)
    torch.testing.assert_close(after.side, before.side * 10**-0.4)


def test_a_balance_and_its_opposite_cancel() -> None:
    gains = torch.zeros(1, GAINS, THIRDS)
    gains[0, 2] = torch.linspace(-6, 6, THIRDS)
    before = _long_term(HEARD[0])
    back = before.moved(gains).moved(-gains)
    torch.testing.assert_close(back.mid, before.mid, rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(back.cross, before.cross, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("mid_db", "side_db"), [(6.0, 0.0), (0.0, 8.0), (-5.0, 5.0)])
def test_the_distance_is_the_rewards_own(mid_db: float, side_db: float) -> None:
    """A gain on one third of the spectrum, on audio by a Fourier transform and on the bands."""
    song = SONGS[0]
    spectra = np.fft.rfft(song.samples.astype(np.float64))
    hz = np.fft.rfftfreq(song.frames, 1 / song.rate)
    inside = (hz >= EDGES_HZ[20]) & (hz < EDGES_HZ[40])
    mid, side = (spectra[0] + spectra[1]) / 2, (spectra[0] - spectra[1]) / 2
    mid, side = (
        part * 10 ** (np.where(inside, db, 0.0) / 20) for part, db in ((mid, mid_db), (side, side_db))
    )
    damaged = np.fft.irfft(np.stack([mid + side, mid - side]), song.frames).astype(np.float32)
    heard = type(song)(damaged, song.rate)
    true = Original(song).distance(heard)
    tone, image = distance(_long_term(read_bands(heard).stacked()), _long_term(HEARD[0]))
    assert float(tone) == pytest.approx(true.tone / UNIT_DB["tone"], abs=0.25)
    assert float(image) == pytest.approx(true.image / UNIT_DB["image"], abs=0.25)


def test_exchanging_left_and_right_twice_gives_the_song_back() -> None:
    powers = SUMMARIES[0].powers
    np.testing.assert_array_equal(swapped(swapped(powers)), powers)
    samples = SONGS[0].samples[::-1].copy()
    other = Summary.of(read_bands(type(SONGS[0])(samples, SONGS[0].rate)).stacked()[None])
    np.testing.assert_allclose(swapped(powers), other.powers, rtol=1e-3, atol=1e-6)


def test_highs_that_are_cut_off_end_at_the_cut_and_those_that_fade_do_not() -> None:
    width_db = 10 * np.log10(np.diff(EDGES_HZ))
    slope = 10 ** ((-3.0 * np.arange(BANDS) / 6 + width_db) / 10)
    assert highest_bands(slope) == NO_END
    cut = slope.copy()
    cut[46:] *= 1e-4
    assert highest_bands(cut) == 45


def test_an_extension_carries_the_slope_on_and_raises_nothing_that_is_there() -> None:
    width_db = 10 * np.log10(np.diff(EDGES_HZ))
    power = torch.tensor(10 ** ((-6.0 * np.arange(BANDS) / 6 + width_db) / 10), dtype=torch.float32)[None]
    cut = power.clone()
    cut[:, 46:] *= 1e-6
    long = LongTerm(cut, 0.1 * cut, 0 * cut)
    filled = long.extended(torch.tensor([45]), torch.tensor([0.0]))
    torch.testing.assert_close(filled.mid[:, :46], cut[:, :46])
    apart = 10 * (filled.mid / power)[0, 46 : BANDS - 1].log10()
    assert apart.abs().max() < 1.0
    none = long.extended(torch.tensor([NO_END]), torch.tensor([0.0]))
    torch.testing.assert_close(none.mid, long.mid)
