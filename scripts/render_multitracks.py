"""Render songs in stems from free MIDI: drums, bass, other, piano and guitar, whose sum is the mix.

    python scripts/render_multitracks.py DIR [--count 20] [--groove groove-midi-dataset.tar.gz]

The MIDI and the soundfonts come from Debian packages, by `apt-get download` and `dpkg -x` (no root is
needed); fluidsynth renders each stem on its own. Every song is a variation drawn from the seed:
instruments and soundfont, tempo, key, timing and velocity of the players, balance, panning and room,
and, with the Groove MIDI Dataset (CC BY 4.0, J. Gillick et al., "Learning to groove with inverse
sequence transformations", ICML 2019), drums as a person played them. DIR/<piece>-<number>/ holds a
FLAC a stem and song.json; a song that is there already is left alone, so a killed run can go on.
`--varied` adds a soundfont and Hydrogen's drum kits; `--instruments` adds more MIDI and real basses, guitars
and electric pianos, of which some play only what is kept back for validation, and amplifiers; `--kept-apart`
renders the packages that are kept for evaluation, and nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from drum_sampler import Kit, play
from gather_corpus import unpack
from midi import DRUM_CHANNEL, Control, Note, Score, read_midi, write_midi
from pedalboard import Compressor, Distortion, HighpassFilter, LowpassFilter, PeakFilter, Pedalboard, Reverb
from sfz import Instrument, perform
from train_splitter import is_kept_back

from mixagent.envs.corpus import Corpus
from mixagent.pipeline.decibels import db_to_amplitude
from mixagent.pipeline.types import FloatArray

RATE = 44100
LONGEST_S, SHORTEST_S, TAIL_S = 150.0, 45.0, 2.0
MIX_PEAK_DBFS = -1.0


@dataclass(frozen=True)
class Sources:
    """Packages with MIDI, with general soundfonts and with drum kits."""

    midi: tuple[str, ...]
    soundfonts: tuple[str, ...]
    kits: tuple[str, ...] = ()


TRAINING = Sources(
    ("freedoom", "mma"), ("fluid-soundfont-gm", "timgm6mb-soundfont"), ("avldrums.lv2-soundfont",)
)
VARIED = Sources(
    TRAINING.midi,
    (*TRAINING.soundfonts, "csound-soundfont"),
    (*TRAINING.kits, "hydrogen-drumkits"),
)
SAMPLED = Sources(
    (*VARIED.midi, "openttd-openmsx", "simutrans-data"), (*VARIED.soundfonts, "opl3-soundfont"), VARIED.kits
)
KEPT_APART = Sources(("planetblupi-music-midi",), ("musescore-general-soundfont",))

STEM_OF_PROGRAM: Sequence[tuple[range, str]] = (
    (range(8), "piano"),
    (range(24, 32), "guitar"),
    (range(32, 40), "bass"),
    (range(128), "other"),
)
"""General MIDI's programs; the first range that holds one counts."""


@dataclass(frozen=True)
class Library:
    """A sampled instrument: the stem that it plays, its SFZ file, and `sfz.Instrument`'s octaves.

    `validates` says that it plays the pieces kept back for validation and no other; `samples` is the folder
    that its samples' paths start from, where that is not the file's.
    """

    stem: str
    file: str
    octaves: int = 0
    validates: bool = False
    samples: str = ""


LIBRARIES: Sequence[Library] = (
    Library("bass", "karoryfer.growlybass/growlybass_clean.sfz", octaves=1),
    Library("bass", "karoryfer.growlybass/growlybass_vicious.sfz", octaves=1),
    Library("bass", "karoryfer.pastabass/spaghetti.sfz", octaves=1),
    Library("bass", "karoryfer.pastabass/linguine.sfz", octaves=1),
    Library("bass", "karoryfer.pastabass/tagliatelle.sfz", octaves=1),
    Library("bass", "karoryfer.pastabass/fetuccine.sfz", octaves=1),
    Library("bass", "dsmolken.double-bass/d_smolken_rubner_bass_pizz.sfz"),
    Library("bass", "karoryfer.meatbass/Programs/pizz_basic.sfz"),
    Library("bass", "karoryfer.swagbass/swagbass_clean.sfz", validates=True),
    Library("bass", "karoryfer.swagbass/swagbass_shiny.sfz", validates=True),
    Library("guitar", "karoryfer.black-and-green-guitars/Programs/04-green_twang.sfz"),
    Library("guitar", "karoryfer.black-and-green-guitars/Programs/07-black_twang.sfz"),
    Library("guitar", "karoryfer.black-and-green-guitars/Programs/08-black_staccato.sfz"),
    Library(
        "guitar",
        "karoryfer.shinyguitar/Programs/acoustic_one.sfz",
        samples="karoryfer.shinyguitar/Samples",
    ),
    Library(
        "guitar",
        "karoryfer.shinyguitar/Programs/electric_one.sfz",
        samples="karoryfer.shinyguitar/Samples",
    ),
    Library("guitar", "karoryfer.emilyguitar/emily_clean.sfz", validates=True),
    Library("piano", "GregSullivan.E-Pianos/CP80/CP80.sfz"),
    Library("piano", "GregSullivan.E-Pianos/Pianet T/Pianet T.sfz"),
    Library("piano", "GregSullivan.E-Pianos/Wurlitzer EP200/Wurlitzer EP200.sfz"),
)
"""Repositories of the account sfzinstruments on GitHub (the black and green guitars: of kmturley). Basses
and guitars are CC0, by Karoryfer Lecolds and D. Smolken; the pianos are CC BY 3.0, by Greg Sullivan."""

SAMPLED_SHARE: Mapping[str, float] = {"bass": 0.75, "guitar": 0.8, "piano": 0.3}
"""The share of stems that are played on a sampled instrument where there is one."""

AMPLIFIED_SHARE: Mapping[str, float] = {"bass": 0.4, "guitar": 0.55}
"""The share of sampled stems that go through an amplifier."""

LEVEL_DB: Mapping[str, float] = {"drums": 0.0, "bass": -2.0, "piano": -4.0, "guitar": -3.0, "other": -3.0}
"""Mean level of each stem against the drums, from which a song's balance is drawn."""


@dataclass(frozen=True)
class Piece:
    """A composition; its name is the artist of its songs, so that all of them share a split."""

    name: str
    score: Score


@dataclass(frozen=True)
class Variation:
    """The random choices for one song.

    Attributes:
        tempo: factor on the speed.
        transposed: semitones.
        jitter_s: spread of the notes' starts.
        soundfonts: by stem.
        groove: the drum performance that replaces the drums; empty for the piece's own.
        room_size, damping: of the reverb, 0..1.
        send_db: each stem's level into it.
        level_db: each stem's RMS against the drums', both while they play.
    """

    tempo: float
    transposed: int
    jitter_s: float
    soundfonts: Mapping[str, str]
    groove: str
    room_size: float
    damping: float
    send_db: Mapping[str, float]
    level_db: Mapping[str, float]


def main() -> None:
    """Render the songs that are missing, then index them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=20, help="songs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the variations (default %(default)s)")
    parser.add_argument("--groove", type=Path, help="the Groove MIDI Dataset as downloaded, .tar.gz")
    parser.add_argument(
        "--longest-s", type=float, default=LONGEST_S, help="a song is cut to this (default %(default)s)"
    )
    parser.add_argument("--instruments", type=Path, help="folder with the repositories of LIBRARIES")
    parser.add_argument("--varied", action="store_true", help="with more soundfonts and drum kits")
    parser.add_argument("--kept-apart", action="store_true", help="from the packages for evaluation")
    parser.add_argument("--corpus", type=Path, help="index the songs in this corpus")
    arguments = parser.parse_args()
    named = {"kept_apart": KEPT_APART, "instruments": SAMPLED, "varied": VARIED}
    sources = next((some for name, some in named.items() if getattr(arguments, name)), TRAINING)
    with tempfile.TemporaryDirectory(prefix="multitracks-") as scratch:
        packages = Path(scratch)
        for package in (*sources.midi, *sources.soundfonts, *sources.kits):
            unpack(package, packages / package)
        studio = Studio.of(packages, sources, arguments.groove, arguments.instruments)
        for number in range(arguments.count):
            studio.record(number, arguments.seed, arguments.directory, arguments.longest_s)
    if arguments.corpus:
        Corpus.open(arguments.corpus).add(
            [arguments.directory], split="test" if arguments.kept_apart else None
        )


@dataclass(frozen=True)
class Studio:
    """Pieces, soundfonts, drum performances and sampled instruments, by their files, at hand."""

    pieces: tuple[Piece, ...]
    soundfonts: tuple[Path, ...]
    kits: tuple[Path, ...]
    grooves: Mapping[str, Score]
    instruments: Mapping[str, Instrument]

    @classmethod
    def of(
        cls, packages: Path, sources: Sources, groove: Path | None, instruments: Path | None = None
    ) -> Studio:
        """Read the unpacked packages."""
        pieces = tuple(piece for package in sources.midi for piece in _pieces(packages / package))
        fonts = [_files(packages / name, ".sf2", ".sf3") for name in (*sources.soundfonts, *sources.kits)]
        general = tuple(path for paths in fonts[: len(sources.soundfonts)] for path in paths)
        kits = [path for paths in fonts[len(sources.soundfonts) :] for path in paths]
        for package in sources.kits:
            folders = sorted(path.parent for path in (packages / package).rglob("drumkit.xml"))
            kits += [folder for folder in folders if Kit.read(folder)]
        if not pieces or not general:
            raise SystemExit("no MIDI or no soundfont could be had: see the messages above")
        grooves = _grooves(groove) if groove else {}
        sampled = _libraries(instruments) if instruments else {}
        return cls(pieces, general, tuple(kits), grooves, sampled)

    def record(self, number: int, seed: int, directory: Path, longest_s: float = LONGEST_S) -> None:
        """Render the song of this number, or `longest_s` of it, into its folder, if it is not there."""
        random = np.random.default_rng([seed, number])
        order = np.random.default_rng(seed).permutation(len(self.pieces))
        piece = self.pieces[int(order[number % len(order)])]
        folder = directory / f"{_slug(piece.name)}-{seed}-{number:03}"
        if folder.exists():
            return
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        variation = self._vary(piece, random)
        stems = self._render(piece, variation, random, longest_s)
        for name, samples in stems.items():
            _write(partial / f"{name}.flac", samples, piece.name)
        (partial / "song.json").write_text(json.dumps({"piece": piece.name, **asdict(variation)}, indent=1))
        partial.rename(folder)
        print(f"{folder.name}: {', '.join(stems)}", file=sys.stderr)

    def _vary(self, piece: Piece, random: np.random.Generator) -> Variation:
        stems = list(_by_stem(piece.score))
        drum_fonts = [*self.soundfonts, *self.kits]
        fonts = {stem: drum_fonts if stem == "drums" else self.soundfonts for stem in stems}
        groove = str(random.choice(sorted(self.grooves))) if self.grooves and random.random() < 0.5 else ""
        return Variation(
            tempo=float(random.uniform(0.9, 1.12)),
            transposed=int(random.integers(-4, 5)),
            jitter_s=float(random.uniform(0.002, 0.009)),
            soundfonts={
                stem: self._library(stem, piece, random) or str(random.choice([p.name for p in fonts[stem]]))
                for stem in stems
            },
            groove=groove,
            room_size=float(random.uniform(0.1, 0.7)),
            damping=float(random.uniform(0.2, 0.8)),
            send_db={stem: float(random.uniform(-30, -12 if stem == "bass" else -6)) for stem in stems},
            level_db={stem: LEVEL_DB[stem] + float(random.normal(0, 2.5)) for stem in stems},
        )

    def _library(self, stem: str, piece: Piece, random: np.random.Generator) -> str:
        """The sampled instrument drawn for a stem, empty for none."""
        validates = is_kept_back(piece.name)
        files = [x.file for x in LIBRARIES if x.stem == stem and x.validates == validates]
        at_hand = [file for file in files if file in self.instruments]
        return str(random.choice(at_hand)) if at_hand and random.random() < SAMPLED_SHARE[stem] else ""

    def _render(
        self, piece: Piece, variation: Variation, random: np.random.Generator, longest_s: float
    ) -> dict[str, FloatArray]:
        score = _cut(_at_tempo(piece.score, variation.tempo), random, longest_s)
        parts = _by_stem(score)
        if variation.groove:
            parts["drums"] = _looped(self.grooves[variation.groove], score)
        frames = round((score.duration_s + TAIL_S) * RATE)
        stems = {}
        for stem, part in parts.items():
            played = _humanised(_orchestrated(part, stem, variation, random), variation.jitter_s, random)
            dry = self._performed(played, stem, variation.soundfonts[stem], frames, random)
            stems[stem] = _in_room(dry, variation, stem)
        return _balanced({name: dry for name, dry in stems.items() if np.any(dry)}, variation.level_db)

    def _performed(
        self, played: Score, stem: str, name: str, frames: int, random: np.random.Generator
    ) -> FloatArray:
        if name in self.instruments:
            dry = perform(played, self.instruments[name], frames, random)
            return _amplified(dry, random) if random.random() < AMPLIFIED_SHARE.get(stem, 0.0) else dry
        font = next(path for path in (*self.soundfonts, *self.kits) if path.name == name)
        kit = Kit.read(font) if font.is_dir() else None
        if kit:
            return play(played, kit, frames, random)
        return synthesise(_on_kit(played) if font in self.kits else played, font, frames)


# --- pieces ----------------------------------------------------------------------------------------


def _pieces(package: Path) -> Iterator[Piece]:
    """The pieces of a package that are long enough and have drums, bass and something more."""
    for name, data in _midi_files(package):
        try:
            score = read_midi(data)
        except ValueError as error:
            print(f"{package.name} {name}: {error}", file=sys.stderr)
            continue
        if score.duration_s >= SHORTEST_S and {"drums", "bass"} < set(_by_stem(score)):
            yield Piece(f"{package.name} {name}", score)


def _midi_files(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in _files(package, ".mid", ".midi"):
        # Numbered files are arrangements of one composition.
        yield path.stem.rstrip("0123456789") or path.stem, path.read_bytes()
    for path in _files(package, ".wad"):
        yield from _lumps(path)


def _lumps(path: Path) -> Iterator[tuple[str, bytes]]:
    """The music lumps `D_*` of a Doom WAD that are MIDI."""
    data = path.read_bytes()
    count, directory = struct.unpack("<II", data[4:12])
    for entry in range(directory, directory + 16 * count, 16):
        start, size, name = struct.unpack("<II8s", data[entry : entry + 16])
        if name.startswith(b"D_") and data[start : start + 4] == b"MThd":
            yield f"{path.stem} {name.rstrip(bytes(1)).decode('ascii')}", data[start : start + size]


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file() and not p.is_symlink())


def _grooves(archive: Path) -> dict[str, Score]:
    """Performances of a minute of beat in 4/4, of the dataset's own training split, by their path."""
    found = {}
    with tarfile.open(archive) as tar:
        names = set(_training_names(tar))
        for member in tar:
            inner = member.name.partition("/")[2]
            file = tar.extractfile(member) if inner in names else None
            if file is not None:
                score = read_midi(file.read())
                found[inner] = replace(score, beat_s=60 / int(inner.split("_")[-3]))
    return found


def _training_names(tar: tarfile.TarFile) -> Iterator[str]:
    info = tar.extractfile("groove/info.csv")
    assert info is not None
    header, *rows = [line.split(",") for line in info.read().decode().splitlines()]
    for row in rows:
        columns = dict(zip(header, row, strict=False))
        is_beat = columns["beat_type"] == "beat" and columns["time_signature"] == "4-4"
        if columns["split"] == "train" and is_beat and float(columns["duration"]) >= 20:
            yield columns["midi_filename"]


def _libraries(folder: Path) -> dict[str, Instrument]:
    """The instruments of `LIBRARIES` that the folder holds, by their files."""
    found = {}
    for library in LIBRARIES:
        if (folder / library.file).exists():
            samples = folder / library.samples if library.samples else None
            found[library.file] = Instrument.read(folder / library.file, library.octaves, samples)
        else:
            print(f"{library.file}: not in {folder}", file=sys.stderr)
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


# --- performance -----------------------------------------------------------------------------------


def _by_stem(score: Score) -> dict[str, Score]:
    """The score's channels by stem; a channel's first program decides."""
    programs: dict[int, int] = {}
    for control in score.controls:
        if control.kind == 0xC0:
            programs.setdefault(control.channel, control.data[0])
    channels: dict[str, set[int]] = defaultdict(set)
    for channel in sorted({note.channel for note in score.notes}):
        program = programs.get(channel, 0)
        stem = next(name for programs_of, name in STEM_OF_PROGRAM if program in programs_of)
        channels["drums" if channel == DRUM_CHANNEL else stem].add(channel)
    return {stem: _only(score, chosen) for stem, chosen in channels.items()}


def _only(score: Score, channels: set[int]) -> Score:
    notes = tuple(note for note in score.notes if note.channel in channels)
    return replace(score, notes=notes, controls=tuple(c for c in score.controls if c.channel in channels))


def _at_tempo(score: Score, tempo: float) -> Score:
    notes = (replace(n, start_s=n.start_s / tempo, end_s=n.end_s / tempo) for n in score.notes)
    controls = (replace(control, at_s=control.at_s / tempo) for control in score.controls)
    return Score(tuple(notes), tuple(controls), score.beat_s / tempo)


def _cut(score: Score, random: np.random.Generator, longest_s: float) -> Score:
    """At most `longest_s` of a score, from a drawn place on; the controls before it apply at its start."""
    start_s = float(random.uniform(0, max(score.duration_s - longest_s, 0.0)))
    stop_s = start_s + longest_s
    notes = (
        replace(note, start_s=note.start_s - start_s, end_s=min(note.end_s, stop_s) - start_s)
        for note in score.notes
        if start_s <= note.start_s < stop_s
    )
    controls = (replace(c, at_s=max(c.at_s - start_s, 0.0)) for c in score.controls if c.at_s < stop_s)
    return Score(tuple(notes), tuple(controls), score.beat_s)


def _looped(groove: Score, score: Score) -> Score:
    """A drum performance at the score's tempo, from the score's first note on to its end, bar by bar."""
    speed = groove.beat_s / score.beat_s
    bars = max(round(groove.duration_s / (4 * groove.beat_s)), 1)
    period_s = bars * 4 * score.beat_s
    first_s = score.notes[0].start_s
    notes = []
    for start_s in np.arange(first_s, score.duration_s, period_s):
        moved = (
            replace(n, start_s=start_s + n.start_s / speed, end_s=start_s + n.end_s / speed)
            for n in groove.notes
            if n.start_s / speed < period_s
        )
        notes += [replace(n, channel=DRUM_CHANNEL) for n in moved if n.start_s < score.duration_s]
    return Score(tuple(notes), (), score.beat_s)


def _orchestrated(score: Score, stem: str, variation: Variation, random: np.random.Generator) -> Score:
    """Other instruments of the same family, another key and another place in the stereo image."""
    if stem == "drums":
        return score
    places = {note.channel: int(random.integers(20, 108)) for note in score.notes}
    panned = (Control(0.0, channel, 0xB0, (10, place)) for channel, place in places.items() if stem != "bass")
    controls = (
        replace(c, data=(_relative_of(c.data[0], random),)) if c.kind == 0xC0 else c
        for c in score.controls
        if not (c.kind == 0xB0 and c.data[0] == 10)
    )
    notes = (replace(n, pitch=min(max(n.pitch + variation.transposed, 0), 127)) for n in score.notes)
    return Score(tuple(notes), (*panned, *controls), score.beat_s)


def _relative_of(program: int, random: np.random.Generator) -> int:
    """A program of the same family of eight; sound effects stay what they are."""
    return program if program >= 112 else program // 8 * 8 + int(random.integers(8))


def _humanised(score: Score, jitter_s: float, random: np.random.Generator) -> Score:
    """Each channel a little early or late and loud or soft as a whole, and each note on its own."""
    channels = {note.channel for note in score.notes}
    late_s = {channel: random.normal(0.0, 0.006) for channel in sorted(channels)}
    force = {channel: random.uniform(0.8, 1.1) for channel in sorted(channels)}

    def played(note: Note) -> Note:
        move_s = max(late_s[note.channel] + random.normal(0.0, jitter_s), -note.start_s)
        velocity = round(note.velocity * force[note.channel] + random.normal(0.0, 5.0))
        return replace(
            note,
            start_s=note.start_s + move_s,
            end_s=note.end_s + move_s,
            velocity=min(max(velocity, 1), 127),
        )

    return replace(score, notes=tuple(map(played, score.notes)))


def _on_kit(score: Score) -> Score:
    """The drums on channel 1: a drum kit's soundfont has them as its first instrument."""
    return Score(tuple(replace(note, channel=0) for note in score.notes), (), score.beat_s)


# --- sound -----------------------------------------------------------------------------------------


def synthesise(score: Score, soundfont: Path, frames: int) -> FloatArray:
    """The score by fluidsynth without its effects, float32 (2, frames).

    Raises:
        subprocess.CalledProcessError: fluidsynth failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        midi, wave = Path(scratch, "part.mid"), Path(scratch, "part.wav")
        midi.write_bytes(write_midi(score))
        quiet = ["fluidsynth", "-n", "-i", "-q", "-R", "0", "-C", "0", "-g", "0.3", "-r", str(RATE)]
        quiet += ["-o", "synth.dynamic-sample-loading=1"]  # only the presets that the song plays
        target = ["-T", "wav", "-O", "float", "-F", str(wave)]
        subprocess.run([*quiet, *target, str(soundfont), str(midi)], check=True, capture_output=True)
        samples, _ = soundfile.read(io.BytesIO(wave.read_bytes()), dtype="float32", always_2d=True)
    fitted = samples.T[:, :frames]
    return np.ascontiguousarray(np.pad(fitted, ((0, 0), (0, frames - fitted.shape[1]))))


def _amplified(dry: FloatArray, random: np.random.Generator) -> FloatArray:
    """Through a compressor, an overdriven stage and a loudspeaker, all drawn."""
    level = np.float32(db_to_amplitude(-18) / max(_playing_rms(dry), 1e-6))
    amplifier = Pedalboard(
        [
            Compressor(float(random.uniform(-30, -12)), float(random.uniform(1.5, 4.0)), 5.0, 120.0),
            HighpassFilter(float(random.uniform(30, 120))),
            Distortion(float(random.uniform(3, 36))),
            PeakFilter(float(random.uniform(300, 900)), float(random.uniform(-7, 2)), 0.8),
            PeakFilter(float(random.uniform(1800, 3500)), float(random.uniform(-2, 6)), 0.9),
            *[LowpassFilter(float(random.uniform(3500, 6500))) for _ in range(3)],
        ]
    )
    driven: FloatArray = amplifier(dry * level, RATE)
    return driven


def _in_room(dry: FloatArray, variation: Variation, stem: str) -> FloatArray:
    room = Reverb(variation.room_size, variation.damping, wet_level=1.0, dry_level=0.0, width=1.0)
    wet: FloatArray = room(dry, RATE)
    return dry + np.float32(db_to_amplitude(variation.send_db[stem])) * wet


def _balanced(stems: dict[str, FloatArray], level_db: Mapping[str, float]) -> dict[str, FloatArray]:
    """The stems at their levels, the sum's peak at `MIX_PEAK_DBFS`, and no stem over full scale."""
    placed = {
        name: samples * np.float32(db_to_amplitude(level_db.get(name, 0.0)) / _playing_rms(samples))
        for name, samples in stems.items()
    }
    peaks = [np.max(np.abs(samples)) for samples in placed.values()]
    peak = max(float(np.max(np.abs(sum(placed.values())))), *map(float, peaks))
    gain = np.float32(db_to_amplitude(MIX_PEAK_DBFS) / peak)
    return {name: samples * gain for name, samples in placed.items()}


def _playing_rms(samples: FloatArray) -> float:
    """RMS of the half seconds within 20 dB of the loudest: a stem that plays seldom is not raised for it."""
    whole = samples[:, : samples.shape[1] // (RATE // 2) * (RATE // 2)]
    power = np.square(whole, dtype=np.float64).reshape(2, -1, RATE // 2).mean(axis=(0, 2))
    return float(np.sqrt(np.mean(power[power >= 0.01 * power.max()])))


def _write(path: Path, samples: FloatArray, artist: str) -> None:
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_24") as file:
        file.artist, file.title = artist, path.parent.name.removesuffix(".partial")
        file.write(samples.T)


if __name__ == "__main__":
    main()
