"""Artefacts of decoders taken back: shimmer, and what codecs and vocoders put into the highs beside it.

A network (`artefact_net`) hears band powers of mid and side and says for each band of each frame how far it
is to be turned down or up and how much noise it lacks. What it says of finished songs is small but not
nothing; so a song is repaired where the network hears more in it than in nearly all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from mixagent.pipeline.decibels import db_to_amplitude, db_to_power
from mixagent.pipeline.errors import ModelMissingError
from mixagent.pipeline.folders import checkpoint_folder
from mixagent.pipeline.io.resampling import resample
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.restoration import artefact_bands as bands
from mixagent.pipeline.restoration.base import Found, NotFiniteError, Restored
from mixagent.pipeline.types import (
    BLOCK_FRAMES,
    AudioSource,
    DiskAudio,
    FloatArray,
    Progress,
    View,
    blocks,
    spool,
)

if TYPE_CHECKING:
    from mixagent.pipeline.restoration.artefact_net import ArtefactNet

HIGHS_HZ = (5000.0, 14000.0)
"""Where shimmer lies."""

_HIGHS = slice(*np.searchsorted(bands.CENTRES_HZ, HIGHS_HZ))

LEAST_AMOUNT, FULL_CUT_DB = 0.5, 2.0
"""The amount where the network cuts next to nothing, and the mean cut from which it is 1."""

SURE = 0.95
"""Probability of shimmer from which on it is found: of 14 finished validation songs none has more than 0.25,
steady noise has 0.6, and shimmer of half its greatest severity nearly always more."""

LEAST_GAIN_DB = 0.5
"""A gain comes out so much smaller, and one below it is none."""

LEAST_ADDED_DB = -40.0
"""Noise below this, against its band's mean, is none."""

_PASSAGE = 512
_MARGIN = 43
"""Frames at the ends of a passage, half a second, of which the network knows too little."""

_SEAM = 43
"""Frames over which one passage's gains fade into the next one's."""

FIGURES = ("shimmer_cut_db", "shimmer_probability", "codec_probability")

_STEP = _PASSAGE - 2 * _MARGIN - _SEAM
_SILENT_RMS = 1e-4
_AUDIBLE = 1e-7
"""Power of a band that counts, against the passage's."""


def find(source: AudioSource, analysis: Analysis | None, progress: Progress) -> Found | None:
    """Shimmer: the network would take more than of nearly all finished songs, and is sure.

    Nothing is found in less than a passage of 6 s, of which the network knows too little. A codec's
    artefacts are told among the values and are no finding by themselves: gains hardly undo them.
    """
    if source.frames * bands.RATE < _PASSAGE * bands.HOP * source.rate:
        return None
    channel = lone_channel(source)
    values = heard(source if channel is None else Channel(source, channel), progress)
    if values is None or values["shimmer_probability"] < SURE:
        return None
    if values["shimmer_cut_db"] <= _config()["finished"]["shimmer_cut_db"]:
        return None
    why = f"The highs shimmer: bands between 5 and 14 kHz are {values['shimmer_cut_db']:.1f} dB too loud."
    # What is hardly too loud may be the music's own.
    amount = min(LEAST_AMOUNT + values["shimmer_cut_db"] / FULL_CUT_DB * (1 - LEAST_AMOUNT), 1.0)
    return Found(why, values, {"channel": channel}, amount)


def heard(source: AudioSource, progress: Progress) -> dict[str, float] | None:
    """The network's figures over a song, its loud passages counting most; None of silence."""
    rows = [(p.power, p.cut_db, p.shimmer, p.coded) for p in _listen(source, progress)]
    if not rows:
        return None
    power, *columns = np.array(rows).T
    weights = np.sqrt(power)
    return {
        name: float(np.average(column, weights=weights))
        for name, column in zip(FIGURES, columns, strict=True)
    }


def calmed(source: AudioSource, from_hz: float, scratch: Path, progress: Progress) -> AudioSource:
    """A source without the shimmer that is found in it, in full, above a frequency; itself where none is.

    For what another repair made anew: a second run would hear it as shimmer.
    """
    found = find(source, None, progress)
    if found is None:
        return source
    details = {**found.details, "from_hz": from_hz}
    return run(source, Found(found.why, found.values, details), scratch, progress).audio


def run(source: AudioSource, found: Found, scratch: Path, progress: Progress) -> Restored:
    """The source with its artefacts taken back, band by band; left alone by the network, as it was."""
    channel = found.details.get("channel")
    heard_of = source if channel is None else Channel(source, channel)
    at_rate = resample(heard_of, bands.RATE, scratch / "artefacts-44k.f32")
    parts = _changes(at_rate, float(found.details.get("from_hz", 0.0)), progress)
    change = spool(parts, scratch / "artefacts-change-44k.f32", bands.RATE, heard_of.channels)
    moved = resample(change, source.rate, scratch / "artefacts-change.f32")
    audio = spool(_added(source, moved, channel), scratch / "artefacts.f32", source.rate, source.channels)
    for spent in (at_rate, change, moved):
        if isinstance(spent, DiskAudio) and spent is not heard_of:
            spent.path.unlink(missing_ok=True)
    return Restored(audio, True, "Artefacts of its decoder were taken back.", found.values)


@dataclass(frozen=True)
class _Passage:
    """The network's answer to a passage; gains and noise of its inner frames.

    Attributes:
        first: the first of its frames in the song.
        gain_db: (2, BANDS, frames).
        added: power (2, BANDS, frames).
        power: of the passage, mean.
        cut_db: the mean cut of the bands in `HIGHS_HZ` that sound.
        shimmer, coded: probabilities.
    """

    first: int
    gain_db: FloatArray
    added: FloatArray
    power: float
    cut_db: float
    shimmer: float
    coded: float


def _listen(source: AudioSource, progress: Progress) -> Iterator[_Passage]:
    """The passages of a source that sound, its rate brought to `bands.RATE` passage by passage."""
    total = bands.frames_of(round(source.frames * bands.RATE / source.rate))
    start, stop = -_STEP, 0
    while stop < total:
        # The last passage is as long as the others, where the song is.
        start = max(min(start + _STEP, total - _PASSAGE), 0)
        stop = min(start + _PASSAGE, total)
        samples = _read(source, (start - 1) * bands.HOP, stop * bands.HOP)
        if np.sqrt(np.mean(samples**2)) > _SILENT_RMS:
            powers = bands.band_powers(bands.forward(samples))
            yield _hear(powers, start, stop == total)
        progress(stop / total)


def _read(source: AudioSource, start: int, stop: int) -> FloatArray:
    """Samples by their place at `bands.RATE`, silence outside the source."""
    if source.rate == bands.RATE:
        samples = source.read(max(start, 0), stop)
        return np.pad(samples, ((0, 0), (max(-start, 0), stop - max(start, 0) - samples.shape[1])))
    ratio = source.rate / bands.RATE
    first = int(np.floor((start - bands.SIZE) * ratio))
    last = int(np.ceil((stop + bands.SIZE) * ratio))
    held = source.read(max(first, 0), last)
    padded = np.pad(held, ((0, 0), (max(-first, 0), last - max(first, 0) - held.shape[1])))
    moved = soxr.resample(padded.T, source.rate, bands.RATE).T
    skipped = start - round(first / ratio)
    moved = np.pad(moved, ((0, 0), (0, max(skipped + stop - start - moved.shape[1], 0))))
    return np.asarray(moved[:, skipped : skipped + stop - start], np.float32)


def _hear(powers: FloatArray, start: int, last: bool) -> _Passage:
    import torch

    with torch.inference_mode():
        heard = network()(torch.from_numpy(powers)[None])
        gain_db, added, logits = (value[0].numpy() for value in heard)
    if not all(np.isfinite(value).all() for value in (gain_db, added, logits)):
        raise NotFiniteError
    whole = float(powers.sum((0, 1)).mean())
    sounding = powers[:, _HIGHS] > _AUDIBLE * whole
    cut_db = np.maximum(-gain_db[:, _HIGHS], 0) * sounding
    shimmer, coded = 1 / (1 + np.exp(-logits.astype(np.float64)))
    inner = slice(_MARGIN if start else 0, None if last else -_MARGIN)
    least = np.float32(db_to_power(LEAST_ADDED_DB)) * powers.mean(axis=2, keepdims=True)
    return _Passage(
        first=start + (inner.start or 0),
        gain_db=(np.sign(gain_db) * np.maximum(np.abs(gain_db) - LEAST_GAIN_DB, 0))[..., inner],
        added=np.where(added > least, added, 0)[..., inner],
        power=whole,
        cut_db=float(cut_db.sum() / max(sounding.sum(), 1)),
        shimmer=float(shimmer),
        coded=float(coded),
    )


def _changes(source: AudioSource, from_hz: float, progress: Progress) -> Iterator[FloatArray]:
    """What is to be added to a source at `bands.RATE` above a frequency, in blocks of its whole length."""
    left = from_hz > bands.CENTRES_HZ
    due = 0  # the next sample to be given
    carry = np.zeros((source.channels, bands.HOP), np.float32)
    for first, gain_db, added in _joined(_listen(source, progress)):
        gain_db[:, left], added[:, left] = 0, 0
        start = (first - 1) * bands.HOP
        if start > due:
            # Silence was left out; what hung over from before it ends there.
            gap = np.zeros((source.channels, start - due), np.float32)
            tail = carry[:, : gap.shape[1]]
            gap[:, : tail.shape[1]] += tail
            carry = np.zeros_like(carry)
            yield gap
            due = start
        count = gain_db.shape[2]
        spectra = bands.forward(_read(source, start, (first + count) * bands.HOP))
        pieces = bands.backward(_changed(spectra, gain_db, added, first), source.channels)
        pieces[:, : bands.HOP] += carry
        block, carry = pieces[:, due - start : -bands.HOP], pieces[:, -bands.HOP :]
        block = block[:, : source.frames - due]
        yield block
        due += block.shape[1]
    rest = np.zeros((source.channels, source.frames - due), np.float32)
    tail = carry[:, : rest.shape[1]]
    rest[:, : tail.shape[1]] += tail
    yield rest


def _changed(spectra: bands.Spectra, gain_db: FloatArray, added: FloatArray, first: int) -> bands.Spectra:
    """The spectra of what gains and noise change."""
    change = spectra * (bands.over_bins(np.asarray(db_to_amplitude(gain_db), np.float32)) - 1)
    if added.any():
        random = np.random.default_rng(first)
        noise = random.standard_normal((2, *change.shape), np.float32)
        # A bin's share of the band, halved into its two parts, and doubled since windows overlap.
        wide = np.diff(bands.EDGES).astype(np.float32)[:, None]
        change += np.sqrt(bands.over_bins(added / wide)) * (noise[0] + 1j * noise[1])
    return np.asarray(change, np.complex64)


def _joined(passages: Iterator[_Passage]) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """First frame, gains and noise of stretches that follow one another, faded where passages overlap."""
    first, held = 0, np.zeros((2, 2, bands.BANDS, 0), np.float32)
    for passage in passages:
        new = np.stack([passage.gain_db, passage.added])
        shared = max(first + held.shape[3] - passage.first, 0)
        if shared:
            fade = ((np.arange(shared) + 0.5) / shared).astype(np.float32)
            new[..., :shared] = new[..., :shared] * fade + held[..., -shared:] * (1 - fade)
        given = held[..., : held.shape[3] - shared]
        if given.shape[3]:
            yield first, given[0], given[1]
        first, held = passage.first, new
    if held.shape[3]:
        yield first, held[0], held[1]


def _added(source: AudioSource, change: AudioSource, channel: int | None) -> Iterator[FloatArray]:
    """The source with the change, which is of one of its channels or of all."""
    changed = slice(None) if channel is None else slice(channel, channel + 1)
    for start in range(0, source.frames, BLOCK_FRAMES):
        block = source.read(start, start + BLOCK_FRAMES).copy()
        moved = change.read(start, start + block.shape[1])
        block[changed, : moved.shape[1]] += moved
        yield block


@dataclass(frozen=True)
class Channel(View):
    """One channel of a source, as mono."""

    channel: int

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` to `stop`, shape (1, frames)."""
        return self.source.read(start, stop)[self.channel : self.channel + 1]


def lone_channel(source: AudioSource) -> int | None:
    """The only one of two channels that sounds, which the network is to hear in the middle; else None."""
    sounds = np.zeros(source.channels, bool)
    for block in blocks(source):
        sounds |= np.abs(block).max(axis=1) > _SILENT_RMS
        if sounds.all():
            return None
    return int(np.argmax(sounds)) if source.channels == 2 and sounds.any() else None


@lru_cache(maxsize=1)
def network() -> ArtefactNet:
    """The network with its shipped weights.

    Raises:
        ModelMissingError: they are missing, or are not those that their configuration names.
    """
    from safetensors.torch import load

    from mixagent.pipeline.restoration.artefact_net import ArtefactNet

    try:
        data = (_folder() / "weights.safetensors").read_bytes()
    except OSError as error:
        raise ModelMissingError(f"weights are missing in {_folder()}: reinstall mixagent") from error
    if hashlib.sha256(data).hexdigest() != _config()["weights_sha256"]:
        raise ModelMissingError(
            f"the weights in {_folder()} are not those of its config.json: reinstall mixagent"
        )
    net = ArtefactNet()
    net.load_state_dict(load(data))
    return net.eval()


@lru_cache(maxsize=1)
def _config() -> dict[str, Any]:
    try:
        return dict(json.loads((_folder() / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelMissingError(
            f"config.json is missing or broken in {_folder()}: reinstall mixagent"
        ) from error


def _folder() -> Path:
    return checkpoint_folder("artefacts")
