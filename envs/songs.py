"""Songs of a corpus: how they are found in folders, what is measured of each, what each is fit for."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import mutagen
import numpy as np
import soundfile

from mixagent.envs.duplicates import fingerprint
from mixagent.pipeline.errors import InputError, OutputError
from mixagent.pipeline.files import scratch_folder
from mixagent.pipeline.io import content_hash as file_hash
from mixagent.pipeline.io import decode, probe
from mixagent.pipeline.measure.analysis import Analysis, analyse
from mixagent.pipeline.types import AudioSource, Combination, DiskAudio, DiskAudioWriter, blocks

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Fit = Literal["clean truth", "rough input", "stems"]
FITS: tuple[Fit, ...] = get_args(Fit)

SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".opus", ".oga", ".mp3", ".aif", ".aiff", ".m4a"))
SHORTEST_S = 30.0
"""Shorter files are effects, jingles and loops rather than songs."""

QUIETEST_LUFS = -50.0
MONO_SIDE_DB = -60.0
"""Two channels whose difference lies this far under their sum in every band are one."""

CLEAN_RATE_HZ = 44100
CLEAN_BANDWIDTH_HZ = 15000.0
CLEAN_CLIPPED_RUNS_A_MINUTE = 10.0
CLEAN_LUFS = (-30.0, -7.0)

PART_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("vocals", "vocal", "vox", "voice", "voices", "choir", "lead-vocals"), "vocals"),
    **dict.fromkeys(("drums", "drum", "percussion", "kick", "snare", "hats", "toms", "cymbals"), "drums"),
    **dict.fromkeys(("bass", "bassline", "sub"), "bass"),
    **dict.fromkeys(("piano", "keys", "epiano"), "piano"),
    **dict.fromkeys(("guitar", "guitars", "gtr", "rhythm"), "guitar"),
    **dict.fromkeys(("accompaniment", "instrumental", "karaoke"), "accompaniment"),
    **dict.fromkeys(("other", "others", "song", "backing", "synth", "strings", "pad", "fx"), "other"),
}
"""What a file of a multitrack may be called, and the stem of the chain that it belongs to."""
MIX_NAMES = frozenset(("mix", "mixture", "master", "preview"))

_SAME_LENGTH_S = 0.05
_NO_ARTIST = frozenset(("", "unknown", "<unknown>", "unknown artist", "various artists", "various"))


@dataclass(frozen=True)
class Song:
    """One row of the index.

    Attributes:
        id: a name that stays the same wherever the file lies: its title and the start of its hash.
        path: the file, or the folder of a song in stems.
        artist: as tagged, or the name of the folder that it lies in.
        split: `train`, `validation` or `test`.
        kind: `song`, or `stems` where the parts lie in files of their own and the mix is their sum.
        duration_s: length in seconds.
        rate: sample rate in Hz.
        channels: 1 or 2.
        bandwidth_hz: where the long-term spectrum ends (`Analysis.bandwidth_hz`).
        clipped_runs: flat tops (`Analysis.clipped_runs`).
        integrated_lufs: programme loudness; −inf for silence.
        true_peak_dbtp: true peak; −inf for silence.
        skipped: why the song is not used; empty where it is.
        parts: of a song in stems, each stem's files.
        content: SHA-256 of the files.
        size_bytes: of the files.
        acoustic: what it sounds like (`duplicates.fingerprint`).
    """

    id: str
    path: Path
    artist: str
    split: Split
    kind: Literal["song", "stems"] = "song"
    duration_s: float = 0.0
    rate: int = 0
    channels: int = 0
    bandwidth_hz: float = 0.0
    clipped_runs: int = 0
    integrated_lufs: float = -math.inf
    true_peak_dbtp: float = -math.inf
    skipped: str = ""
    parts: tuple[tuple[str, tuple[Path, ...]], ...] = ()
    content: str = ""
    size_bytes: int = 0
    acoustic: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the song is made of."""
        return tuple(path for _, paths in self.parts for path in paths) or (self.path,)

    @property
    def fit(self) -> tuple[Fit, ...]:
        """The uses that the song is fit for; none where it is skipped.

        A clean truth is a finished stereo song of full bandwidth that neither clips nor was crushed
        beyond −7 LUFS; a rough input is anything that can be heard; stems are a song in parts.
        """
        if self.skipped:
            return ()
        low_lufs, high_lufs = CLEAN_LUFS
        is_clean = (
            self.kind == "song"
            and self.rate >= CLEAN_RATE_HZ
            and self.bandwidth_hz >= CLEAN_BANDWIDTH_HZ
            and self.clipped_runs <= CLEAN_CLIPPED_RUNS_A_MINUTE * self.duration_s / 60
            and low_lufs <= self.integrated_lufs <= high_lufs
        )
        found: tuple[Fit, ...] = ("clean truth",) if is_clean else ()
        return (*found, "rough input", "stems") if self.kind == "stems" else (*found, "rough input")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; None for −inf."""
        data = {name: _to_json(value) for name, value in asdict(self).items()}
        return {**data, "fit": list(self.fit)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Song:
        """The song that `to_json` wrote.

        Raises:
            KeyError: a field is missing.
        """
        values = {field.name: data[field.name] for field in fields(cls)}
        for name in ("integrated_lufs", "true_peak_dbtp"):
            values[name] = -math.inf if values[name] is None else values[name]
        parts = tuple((name, tuple(map(Path, files))) for name, files in values["parts"])
        return cls(**{**values, "path": Path(values["path"]), "parts": parts})


def _to_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return None if value == -math.inf else value


# The bare hash left the gathered corpus two artists to validate on; this one leaves it eight.
_SALT = "mixagent.corpus/1"


def split_of(artist: str) -> Split:
    """The split of an artist's songs: 80 % train, 10 % validation, 10 % test, by a hash of the name."""
    share = int.from_bytes(hashlib.sha256(f"{_SALT}{artist.casefold()}".encode()).digest()[:8]) / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


# --- finding ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A song before it is measured: its path and, where it lies in stems, the files of each."""

    path: Path
    parts: tuple[tuple[str, tuple[Path, ...]], ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the song is made of."""
        return tuple(path for _, paths in self.parts for path in paths) or (self.path,)

    def size_bytes(self) -> int:
        """Size of the files; of those that are there."""
        return sum(path.stat().st_size for path in self.files if path.exists())


def find_songs(folder: Path) -> Iterator[Found]:
    """The songs in a folder and the folders in it, sorted.

    A folder is a song in stems where files in it are named as two parts or more (`PART_NAMES`). Where
    all its files are equally long, a word in the name will do (`05_ElecGtr1.wav`), and what names no
    part goes to the stem `other`. Its mix, if there is one among them, is not used. Several songs may
    share a folder as `<song>-<part>` files. Every other audio file is a song.

    Raises:
        InputError: the folder does not exist or may not be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one that holds songs")
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            by_folder[path.parent].append(path)
    for place, paths in sorted(by_folder.items()):
        yield from _songs_of(place, paths)


def _songs_of(place: Path, paths: Sequence[Path]) -> Iterator[Found]:
    in_stems = _stems_by_title(paths)
    for title, parts in sorted(in_stems.items()):
        yield Found(place / title if title else place, tuple(sorted(parts.items())))
    taken = {path for parts in in_stems.values() for files in parts.values() for path in files}
    mixes = {path for path in paths if in_stems and _name(path) in MIX_NAMES}
    yield from (Found(path) for path in paths if path not in taken | mixes)


def _stems_by_title(paths: Sequence[Path]) -> dict[str, dict[str, tuple[Path, ...]]]:
    found: dict[str, dict[str, tuple[Path, ...]]] = defaultdict(dict)
    for path in paths:
        title, part = _title_and_part(path)
        if part:
            found[title][part] = (*found[title].get(part, ()), path)
    named = {title: parts for title, parts in found.items() if len(parts) > 1}
    if named or len(paths) < 2:
        return named
    by_word: dict[str, tuple[Path, ...]] = {}
    for path in (path for path in paths if _name(path) not in MIX_NAMES):
        part = next((PART_NAMES[word] for word in _words(path) if word in PART_NAMES), "other")
        by_word[part] = (*by_word.get(part, ()), path)
    return {"": by_word} if len(by_word.keys() - {"other"}) > 1 and _equally_long(paths) else {}


def _name(path: Path) -> str:
    return re.sub(r"^\d+[\s._-]*|[\s._-]*\d+$", "", path.stem.lower())


def _words(path: Path) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.stem)]


def _title_and_part(path: Path) -> tuple[str, str]:
    """`chaos_god-guitar.ogg` is the part `guitar` of `chaos_god`; `drums 2.wav` one of the folder."""
    head, _, tail = _name(path).rpartition("-")
    return (head, PART_NAMES[tail]) if tail in PART_NAMES else ("", PART_NAMES.get(_name(path), ""))


def _equally_long(paths: Sequence[Path]) -> bool:
    try:
        first = soundfile.info(paths[0]).duration
        return all(abs(soundfile.info(path).duration - first) < _SAME_LENGTH_S for path in paths[1:])
    except soundfile.LibsndfileError:
        return False


# --- measuring -------------------------------------------------------------------------------------


def measure_song(found: Found, split: Split | None, shortest_s: float = SHORTEST_S) -> Song:
    """The row of a song, measured; with the reason in `skipped` where it cannot be used.

    Raises:
        OutputError: the scratch space is full.
    """
    artist = _artist(found)
    song = Song(
        id="",
        path=found.path,
        artist=artist,
        split=split or split_of(artist),
        kind="stems" if found.parts else "song",
        parts=found.parts,
    )
    try:
        content = content_hash(found.files)
        song = replace(
            song, id=f"{_slug(found)}-{content[:8]}", content=content, size_bytes=found.size_bytes()
        )
        return _measured(song, shortest_s)
    except InputError as error:
        return replace(song, skipped=f"broken: {error}")


def content_hash(files: Sequence[Path]) -> str:
    """SHA-256 of the files' own SHA-256s, in hex.

    Raises:
        InputError: a file cannot be read.
    """
    return hashlib.sha256("".join(file_hash(path) for path in files).encode()).hexdigest()


def _measured(song: Song, shortest_s: float) -> Song:
    infos = [probe(path) for path in song.files]
    duration_s = max(info.duration_s for info in infos)
    channels = max(info.channels for info in infos)
    song = replace(song, duration_s=duration_s, rate=infos[0].rate, channels=channels)
    if len({info.rate for info in infos}) > 1:
        return replace(song, skipped="its parts differ in sample rate")
    if 0 < duration_s < shortest_s:
        return replace(song, skipped=f"short: {duration_s:.1f} s, under {shortest_s:.0f} s")
    with scratch_folder() as scratch:
        mix, warnings = _mix(song, scratch)
        analysis = analyse(mix)
        song = replace(
            song,
            duration_s=analysis.duration_s,
            channels=mix.channels,
            bandwidth_hz=analysis.bandwidth_hz,
            clipped_runs=analysis.clipped_runs,
            integrated_lufs=analysis.integrated_lufs,
            true_peak_dbtp=analysis.true_peak_dbtp,
            acoustic=fingerprint(mix),
        )
    return replace(song, skipped=_why_not(analysis, shortest_s) or "; ".join(warnings))


def _why_not(analysis: Analysis, shortest_s: float) -> str:
    if analysis.integrated_lufs < QUIETEST_LUFS:
        return "silent"
    if analysis.channels == 1:
        return "mono"
    if max(analysis.side_ratio_db.values()) < MONO_SIDE_DB:
        return "mono in two channels"
    if analysis.duration_s < shortest_s:
        return f"short: {analysis.duration_s:.1f} s, under {shortest_s:.0f} s"
    return ""


def _mix(song: Song, scratch: Path) -> tuple[AudioSource, list[str]]:
    """The decoded song, or the sum of its parts, and what was wrong with the files."""
    decoded = [decode(path, scratch / str(n)) for n, path in enumerate(song.files)]
    warnings = [warning for one in decoded for warning in one.warnings]
    if not song.parts:
        return decoded[0].audio, warnings
    frames = max(one.audio.frames for one in decoded)
    channels = max(one.audio.channels for one in decoded)
    parts = [_fitted(one.audio, channels, frames) for one in decoded]
    return Combination(tuple((1.0, part) for part in parts)), warnings


def _fitted(part: DiskAudio, channels: int, frames: int) -> AudioSource:
    """A part with as many channels and frames as its song has, padded with silence at its end."""
    if (part.channels, part.frames) == (channels, frames):
        return part
    path = part.path.with_suffix(".fitted")
    try:
        with DiskAudioWriter(path, part.rate, channels) as writer:
            for block in blocks(part):
                writer.write(np.broadcast_to(block, (channels, block.shape[1])))
            writer.write(np.zeros((channels, frames - part.frames), np.float32))
            return writer.close()
    except OSError as error:
        raise OutputError(f"cannot write the scratch file {path}: {error.strerror}") from error


def _artist(found: Found) -> str:
    try:
        tagged = mutagen.File(found.files[0], easy=True)
    except (mutagen.MutagenError, OSError):
        tagged = None
    texts = (tagged.tags or {}).get("artist") if tagged is not None else None
    artist = str(texts[0]).strip() if texts else ""
    return found.path.parent.name if artist.casefold() in _NO_ARTIST else artist


def _slug(found: Found) -> str:
    name = found.path.name if found.parts else found.path.stem
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "song"
