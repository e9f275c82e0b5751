"""`mixagent master --stems-in DIR`: a musician's own tracks in the place of a separator's stems.

The tracks are decoded, named (`pipeline.stem_names`, `pipeline.stem_content`), placed
(`pipeline.multitrack`) and summed by role; from there on they are stems like any others.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mixagent.pipeline.audio import AudioSource, Combination, DiskAudio, blocks, spool
from mixagent.pipeline.decoding import HIGHEST_RATE_HZ, FileInfo
from mixagent.pipeline.errors import InputError, UsageError
from mixagent.pipeline.files import check_output, content_hash, decode, probe, resample
from mixagent.pipeline.graph import Result, Stage, StageContext, audio_reference
from mixagent.pipeline.meters import EnergyMeter, gated_loudness
from mixagent.pipeline.multitrack import Balance, Placement, Plan, Track, Wish, plan, summed
from mixagent.pipeline.stem_names import LEFT_OUT, RESIDUAL, ROLES

SUFFIXES = (
    *(".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".flac", ".wv"),
    *(".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".wma"),
)
"""Endings of files that are taken for tracks; others in the folder are passed over."""

NULL_DB = -40.0
"""Level of what the stems leave of a song, against it, from which they are said not to be its stems."""

CONTAINER = "STEMS"
"""Stands for the file's format where the stems' sum is the song."""

_ENERGIES = "energies.npz"


@dataclass(frozen=True)
class StemsIn:
    """A musician's own stems.

    Attributes:
        folder: which they came from.
        files: the tracks, in order.
        roles: a file's name to one of `ROLES`, `residual` or `out`, where the user says so.
        align: whether offsets and polarity of tracks of one sound may be undone.
        balance: `auto` gives a starting balance, `keep` leaves the tracks' own.
    """

    folder: Path
    files: tuple[Path, ...]
    roles: Mapping[str, str] = field(default_factory=dict)
    align: bool = True
    balance: Balance = "keep"

    def __post_init__(self) -> None:
        names = {file.name for file in self.files}
        for name, role in self.roles.items():
            if name not in names:
                raise UsageError(f"--map {name}={role}: {self.folder} has no track of this name")
            if role not in (*ROLES, RESIDUAL, LEFT_OUT):
                known = ", ".join((*ROLES, RESIDUAL, LEFT_OUT))
                raise UsageError(f"--map {name}={role}: choose one of {known}")

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        roles: Mapping[str, str] | None = None,
        align: bool = True,
        balance: Balance = "keep",
        song: Path | None = None,
    ) -> StemsIn:
        """The audio files that lie in a folder, by name; `song`, if it lies there too, is none of them.

        Args:
            folder: its subfolders and hidden files are passed over.
            roles: a file's name, with or without its ending, to its role.
            align: see the class.
            balance: see the class.
            song: which they are the stems of.

        Raises:
            InputError: no such folder, or no audio file in it.
            UsageError: a role or a file of `roles` that there is not.
        """
        files = tuple(sorted(_tracks_in(folder, song), key=lambda file: _natural(file.name)))
        full = {_full_name(files, name): role for name, role in (roles or {}).items()}
        return cls(folder, files, full, align, balance)

    @property
    def sha256(self) -> str:
        """A hash of all files' contents, whatever they are called."""
        return hashlib.sha256("".join(content_hash(file) for file in self.files).encode()).hexdigest()


def _tracks_in(folder: Path, song: Path | None) -> Iterator[Path]:
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError as error:
        raise InputError(f"{folder} does not exist: check the name") from error
    except NotADirectoryError as error:
        raise InputError(f"{folder} is a file: --stems-in takes a folder of tracks") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {(error.strerror or str(error)).lower()}") from error
    tracks = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if song is not None and song.exists():
        tracks = [path for path in tracks if not (path.exists() and path.samefile(song))]
    if not tracks:
        below = sorted(path.name for path in inside if path.is_dir())
        advice = (
            f"it has folders ({', '.join(below[:3])}): name one of them" if below else "put the tracks in it"
        )
        raise InputError(f"{folder} holds no audio files: {advice}")
    yield from tracks


def _natural(name: str) -> tuple[Any, ...]:
    """Sorts `2 bass` before `10 keys`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)
    )


def _full_name(files: Sequence[Path], name: str) -> str:
    exact = [file.name for file in files if file.name == name]
    loose = [file.name for file in files if name.casefold() in (file.stem.casefold(), file.name.casefold())]
    if not exact and len(loose) > 1:
        raise UsageError(f"--map {name}: that is {' and '.join(loose)}; name one with its ending")
    return (exact or loose or [name])[0]


def parsed_roles(texts: Sequence[str]) -> dict[str, str]:
    """`FILE=ROLE` of the command line, by file.

    Raises:
        UsageError: no equals sign.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, role = text.rpartition("=")
        if not equals or not name:
            raise UsageError(f"--map {text}: write FILE=ROLE, such as 'take 3.wav=vocals'")
        found[name] = role.strip().lower()
    return found


def recorded_stems(report: Mapping[str, Any], folder: Path | None = None) -> StemsIn | None:
    """The stems that a report's master was made of, each with the role that it had; None for none.

    Args:
        report: the report object.
        folder: where the tracks are now, if not where they were.

    Raises:
        KeyError, TypeError, UsageError: a damaged report.
    """
    found = report.get("stems_in")
    if found is None:
        return None
    files = tuple((folder / row["file"]) if folder else Path(row["path"]) for row in found["tracks"])
    roles = {str(row["file"]): str(row["role"]) for row in found["tracks"]}
    if found["balance"] not in get_args(Balance) or not files:
        raise UsageError("these are no stems")
    return StemsIn(folder or Path(found["folder"]), files, roles, bool(found["align"]), found["balance"])


def check_stems(report: Mapping[str, Any], stems_in: StemsIn, path: Path) -> None:
    """Whether the tracks are those of the report in `path`.

    Raises:
        InputError: one that is missing or another.
    """
    for file, row in zip(stems_in.files, report["stems_in"]["tracks"], strict=True):
        if content_hash(file) != row["sha256"]:
            raise InputError(
                f"{file} is not the track of {path}: its contents differ; name its folder with --stems-in"
            )


# --- stages ----------------------------------------------------------------------------------------


def stems_in_stages(stems_in: StemsIn, song: Stage | None, amount: float) -> list[Stage]:
    """The stages up to what becomes of each track, `tracks` and `place`, and to the song, `decode`.

    Args:
        stems_in: the tracks.
        song: the stage that decodes the song that they belong to; without one their sum is the song.
        amount: at 0 the tracks are summed as they are.

    Raises:
        InputError: a track that is no audio file.
    """
    infos = _probed(stems_in.files)
    rate = None if song else _common_rate(infos)
    hashes = [content_hash(file) for file in stems_in.files]
    given = ("decode",) if song else ()
    align = stems_in.align and amount > 0
    decided: dict[str, Any] = {
        "names": [file.name for file in stems_in.files],
        "roles": dict(stems_in.roles),
        "align": align,
        "balance": stems_in.balance,
    }
    decoding = Stage(
        "tracks", partial(_tracks, stems_in.files, rate), given, {"sha256": hashes, "rate": rate}
    )
    placing = Stage("place", partial(_place, stems_in, align), ("tracks", *given), decided)
    return [song or Stage("decode", _sum, ("tracks", "place")), decoding, placing]


def parts_stage() -> Stage:
    """The stage that sums the tracks by role; its result is read like a separation's."""
    return Stage("stems", _parts, ("decode", "tracks", "place"))


def stem_paths(origin: Path, folder: Path, names: Sequence[str], inputs: Sequence[Path]) -> dict[str, Path]:
    """A 32-bit wav file for each stem by name, in a folder that is made.

    Raises:
        OutputError, UsageError: one of them cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    title = origin.absolute().name.removesuffix(".stems")
    files = {name: folder / f"{title} - {number:02d} {name}.wav" for number, name in enumerate(names, 1)}
    for path in files.values():
        check_output(path, HIGHEST_RATE_HZ, "32f", inputs=inputs)
    return files


def plan_of(placed: Result) -> Plan:
    """The plan that the stage `place` left."""
    values = dict(placed.values)
    rows = tuple(Placement(**row) for row in values.pop("placements"))
    return Plan(rows, values["channels"], values["frames"], tuple(values["warnings"]), tuple(values["pairs"]))


def _probed(files: Sequence[Path]) -> list[FileInfo]:
    """What each file says of itself.

    Raises:
        InputError: names the first that cannot be read, and how many there are.
    """
    found, refused = [], []
    for file in files:
        try:
            found.append(probe(file))
        except InputError as error:
            refused.append(str(error))
    if refused:
        more = f"; {len(refused) - 1} more of {len(files)} tracks cannot be read" if len(refused) > 1 else ""
        raise InputError(refused[0] + more)
    return found


def _common_rate(infos: Sequence[FileInfo]) -> int:
    """The rate that most tracks have; of equals the highest."""
    counts = Counter(info.rate for info in infos)
    return max(counts, key=lambda rate: (counts[rate], rate))


def _tracks(files: Sequence[Path], rate: int | None, context: StageContext) -> dict[str, Any]:
    """Every track decoded, at one rate, and measured; two at a time."""
    rate = rate or context.inputs["decode"].audio("audio").rate
    shares = [0.0] * len(files)

    def track(k: int) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
        def shown(share: float) -> None:
            shares[k] = share
            context.progress(sum(shares) / len(shares))

        return _track(files[k], context.directory / f"{k:03d}", rate, shown)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(files))) as pool:
        done = list(pool.map(track, range(len(files))))
    np.savez(context.directory / _ENERGIES, *(energies for _, energies in done))
    return {"tracks": [values for values, _ in done]}


def _track(file: Path, to: Path, rate: int, shown: Any) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    decoded = decode(file, to.with_suffix(".raw"), lambda share: shown(0.8 * share))
    audio = resample(decoded.audio, rate, to.with_suffix(".f32"))
    if audio is not decoded.audio:
        decoded.audio.path.unlink()
    assert isinstance(audio, DiskAudio)
    meter, peak = EnergyMeter.k_weighted(rate, audio.channels), 0.0
    for block in blocks(audio):
        meter.update(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    lufs = gated_loudness(meter.energies)
    shown(1.0)
    return {
        "audio": audio_reference(audio),
        "info": asdict(decoded.info),
        "warnings": list(decoded.warnings),
        "lufs": lufs if math.isfinite(lufs) else None,
        "peak_dbfs": 20 * math.log10(peak) if peak > 0 else None,
    }, meter.energies


def _read_tracks(decoded: Result, names: Sequence[str]) -> list[Track]:
    with np.load(decoded.directory / _ENERGIES) as energies:
        return [
            Track(
                name=Path(name).stem,
                audio=_audio(decoded, k),
                lufs=-math.inf if row["lufs"] is None else row["lufs"],
                peak_dbfs=-math.inf if row["peak_dbfs"] is None else row["peak_dbfs"],
                energies=energies[f"arr_{k}"],
            )
            for k, (name, row) in enumerate(zip(names, decoded.values["tracks"], strict=True))
        ]


def _audio(decoded: Result, k: int) -> DiskAudio:
    found = decoded.values["tracks"][k]["audio"]
    return DiskAudio(decoded.directory / found["file"], found["rate"], found["channels"], found["frames"])


def _place(stems_in: StemsIn, align: bool, context: StageContext) -> dict[str, Any]:
    decoded, song = context.inputs["tracks"], context.inputs.get("decode")
    names = [file.name for file in stems_in.files]
    wish = Wish(
        roles={k: stems_in.roles[name] for k, name in enumerate(names) if name in stems_in.roles},
        align=align,
        balance=stems_in.balance,
        channels=song.audio("audio").channels if song else None,
        frames=song.audio("audio").frames if song else None,
    )
    made = plan(_read_tracks(decoded, names), wish, context.progress)
    return {
        **asdict(made),
        "warnings": [*_decoding_words(decoded, context.inputs.get("decode")), *made.warnings],
    }


def _decoding_words(decoded: Result, song: Result | None) -> Iterator[str]:
    rows = decoded.values["tracks"]
    for row in rows:
        yield from row["warnings"]
    rate = rows[0]["audio"]["rate"]
    others = Counter(row["info"]["rate"] for row in rows if row["info"]["rate"] != rate)
    for other, count in sorted(others.items()):
        whose = "the song's" if song else "the"
        yield f"{count} of {len(rows)} tracks at {other} Hz were resampled to {whose} {rate} Hz"


def _sources(context: StageContext) -> tuple[list[AudioSource], Plan]:
    decoded = context.inputs["tracks"]
    return [_audio(decoded, k) for k in range(len(decoded.values["tracks"]))], plan_of(
        context.inputs["place"]
    )


def _sum(context: StageContext) -> dict[str, Any]:
    """The mix: the sum of all tracks in it."""
    tracks, made = _sources(context)
    mix = _spooled(summed(tracks, made), context, "song", 1.0, 0.0)
    info = FileInfo(CONTAINER, "FLOAT", 32, mix.rate, mix.channels, mix.frames)
    return {"audio": audio_reference(mix), "info": asdict(info), "warnings": []}


def _parts(context: StageContext) -> dict[str, Any]:
    """The sum of the tracks of each role, and what all of them leave of the song."""
    tracks, made = _sources(context)
    parts = {}
    for done, role in enumerate(made.roles):
        share = 1 / (len(made.roles) + 1)
        part = _spooled(summed(tracks, made, role), context, role, share, done * share)
        parts[role] = audio_reference(part)
    song = context.inputs["decode"].audio("audio")
    return {"parts": parts, **_left(song, summed(tracks, made))}


def _spooled(source: AudioSource, context: StageContext, name: str, share: float, before: float) -> DiskAudio:
    done = 0

    def shown() -> Iterator[Any]:
        nonlocal done
        for block in blocks(source):
            yield block
            done += block.shape[1]
            context.progress(before + share * done / max(source.frames, 1))

    return spool(shown(), context.directory / f"{name}.f32", source.rate, source.channels)


def _left(song: AudioSource, tracks: AudioSource) -> dict[str, float | None]:
    """Level of what the tracks leave of the song, in dB against it, and its peak in dBFS."""
    rest = Combination(((1.0, song), (-1.0, tracks)))
    energy = whole = peak = 0.0
    for block, of in zip(blocks(rest), blocks(song), strict=True):
        energy += float(np.square(block, dtype=np.float64).sum())
        whole += float(np.square(of, dtype=np.float64).sum())
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    return {
        "left_db": 10 * math.log10(energy / whole) if energy > 0 and whole > 0 else None,
        "left_peak_dbfs": 20 * math.log10(peak) if peak > 0 else None,
    }


# --- account ---------------------------------------------------------------------------------------


def stems_account(stems_in: StemsIn, results: Mapping[str, Result]) -> dict[str, Any]:
    """The report's `stems_in`: every track with its role and place, and what a replay needs."""
    made, decoded = plan_of(results["place"]), results["tracks"].values["tracks"]
    stems = results["stems"].values if "stems" in results else {}
    rate = results["decode"].values["audio"]["rate"]
    rows = zip(stems_in.files, made.placements, decoded, strict=True)
    return {
        "folder": str(stems_in.folder),
        "is_song": results["decode"].values["info"]["container"] == CONTAINER,
        "align": stems_in.align,
        "balance": stems_in.balance,
        "tracks": [
            {
                "file": file.name,
                "path": str(file),
                "sha256": content_hash(file),
                "role": placement.role,
                "how": placement.how,
                "why": placement.why,
                "side": placement.side,
                "advance_ms": round(1000 * placement.advance / rate, 4),
                "inverted": placement.invert,
                "gain_db": placement.gain_db,
                **{key: row["info"][key] for key in ("rate", "channels", "frames")},
                "lufs": row["lufs"],
                "peak_dbfs": row["peak_dbfs"],
            }
            for file, placement, row in rows
        ],
        "pairs": list(made.pairs),
        "left_db": stems.get("left_db"),
        "left_peak_dbfs": stems.get("left_peak_dbfs"),
    }


def stems_warnings(results: Mapping[str, Result], song: Path | None) -> list[str]:
    """What the user should know of the tracks."""
    made = plan_of(results["place"])
    left_db = results["stems"].values["left_db"] if "stems" in results else None
    words = [*made.warnings, *made.pairs]
    if song is not None and left_db is not None and left_db > NULL_DB:
        words.append(
            f"the stems do not null against {song.name}: what they leave of it is {left_db:.1f} dB of it, "
            "and stays in the mix as it is"
        )
    return words
