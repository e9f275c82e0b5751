"""The experience log on the user's machine: each song's measures, its settings and its ratings.

A local SQLite file, never sent anywhere. It holds measures and settings; audio only with consent.
Several programs may use it at once (write-ahead log), every write is one transaction, and a file of
an older version is brought up to date when it is opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import soundfile

from mixagent.envs.context import Context
from mixagent.envs.observation import DIAGNOSIS_NAMES, TARGET_NAMES
from mixagent.pipeline.chain.parameters import ParameterSpace
from mixagent.pipeline.diagnosis.diagnose import Diagnosis
from mixagent.pipeline.errors import InputError, OutputError
from mixagent.pipeline.finaliser.targets import LoudnessTarget
from mixagent.pipeline.finished.measures import SongMeasures
from mixagent.pipeline.folders import user_folder
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.measure.features import FEATURE_NAMES
from mixagent.pipeline.types import Audio

PATIENCE_S = 5.0
"""The seconds to wait for another program's write."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE experience (
            id INTEGER PRIMARY KEY,
            made_at TEXT NOT NULL,
            song_sha256 TEXT NOT NULL,
            master_sha256 TEXT NOT NULL,
            song_name TEXT NOT NULL,
            measures TEXT NOT NULL,
            context BLOB NOT NULL,
            settings TEXT NOT NULL,
            policy TEXT NOT NULL,
            policy_sha256 TEXT NOT NULL,
            terms TEXT NOT NULL,
            blind REAL,
            version TEXT NOT NULL,
            UNIQUE (song_sha256, master_sha256)
        )""",
        """CREATE TABLE preference (
            song_sha256 TEXT NOT NULL,
            better INTEGER REFERENCES experience ON DELETE CASCADE,
            worse INTEGER REFERENCES experience ON DELETE CASCADE,
            made_at TEXT NOT NULL
        )""",
    ),
    (
        """CREATE TABLE audio (
            experience INTEGER NOT NULL REFERENCES experience ON DELETE CASCADE,
            side TEXT NOT NULL,
            start_s REAL NOT NULL,
            flac BLOB NOT NULL
        )""",
    ),
    (
        "ALTER TABLE experience ADD COLUMN asked TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE experience ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE preference ADD COLUMN source TEXT NOT NULL DEFAULT 'rating'",
        "ALTER TABLE preference ADD COLUMN author TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE preference ADD COLUMN ref TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE preference ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    ),
)
"""The migration from each version to the next; `PRAGMA user_version` is a file's version."""

SCHEMA_VERSION = len(_MIGRATIONS)

RATING, CORRECTION = "rating", "correction"
"""How a preference came about: somebody said so, or set a version right by hand."""

SERVICE = "service"
"""The origin of experiences that a service handed over with a rating."""


@dataclass(frozen=True)
class Experience:
    """One song, mastered once.

    Attributes:
        song: SHA-256 of the song's file.
        master: SHA-256 of the master's file.
        name: the song's file name.
        context: what the policy was shown; None where another version of this program measured it.
        settings: what was rendered and is not neutral, by parameter, in its unit.
        policy: name of the policy that decided.
        policy_sha256: of its weights; empty for one without weights.
        terms: each blind term of the reward by name; empty where the master was not judged.
        blind: their weighted sum; None where the master was not judged.
        version: of the program.
        asked: what was set by hand, by parameter, and amounts other than 1 (`amount`, `amount.eq`).
        origin: empty for a master of this machine's command line or library, `SERVICE` for one of a job.
        made_at: UTC, ISO 8601.
        number: in the store; 0 for one that is not in it yet.
    """

    song: str
    master: str
    name: str
    context: Context | None
    settings: Mapping[str, float]
    policy: str
    policy_sha256: str
    terms: Mapping[str, float]
    blind: float | None
    version: str
    asked: Mapping[str, float] = field(default_factory=dict)
    origin: str = ""
    made_at: str = ""
    number: int = 0

    def to_bytes(self) -> bytes:
        """The experience as a file, so that it can be handed from one store to another."""
        if self.context is None:
            raise ValueError("an experience without a context cannot be handed over")
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "context"}
        told = {**plain, "settings": dict(self.settings), "terms": dict(self.terms)}
        told |= {"asked": dict(self.asked), "measures": measures(), "context": _plain(self.context)}
        return zlib.compress(json.dumps(told, allow_nan=False).encode())

    @classmethod
    def from_bytes(cls, data: bytes) -> Experience:
        """The experience that `to_bytes` wrote.

        Raises:
            InputError: it is none, or another version of this program measured it.
        """
        try:
            told = json.loads(zlib.decompress(data))
            if told.pop("measures") != measures():
                raise InputError("the experience was measured by another version of mixagent")
            return cls(**{**told, "context": _context(told["context"]), "number": 0})
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise InputError(f"this is no experience of mixagent ({type(error).__name__})") from error


@dataclass(frozen=True)
class Preference:
    """A person's choice between two masters of a song; None is the song as it came.

    Attributes:
        song: SHA-256 of the song's file.
        better, worse: numbers of the experiences.
        source: `RATING` or `CORRECTION`.
        author: who chose, in a service of several people; empty for this machine's user.
        ref: what it is known by elsewhere, such as the rating of a service; empty for none.
        note: in the author's words.
    """

    song: str
    better: int | None
    worse: int | None
    source: str = RATING
    author: str = ""
    ref: str = ""
    note: str = ""


@dataclass(frozen=True)
class Excerpt:
    """A piece of a song (`side` is `before`) or of its master (`after`), with consent."""

    side: str
    start_s: float
    audio: Audio


def data_folder() -> Path:
    """The folder of what was learned from the user: `MIXAGENT_DATA`, or the user's data folder.

    Raises:
        UsageError: a home that no user has.
    """
    return user_folder("MIXAGENT_DATA", platformdirs.user_data_path("mixagent"))


@dataclass(frozen=True)
class ExperienceStore:
    """The experiences in one file; it is made when the first is added.

    Every method raises OutputError where the file is damaged, locked for longer than `patience_s`, of
    a later version, or cannot be written.
    """

    path: Path
    patience_s: float = PATIENCE_S

    @classmethod
    def default(cls) -> ExperienceStore:
        """The user's own: `experience.sqlite` in `data_folder()`."""
        return cls(data_folder() / "experience.sqlite")

    def add(self, experience: Experience, excerpts: Sequence[Excerpt] = ()) -> int:
        """Store an experience and its audio, in place of an earlier one with the same master; its number."""
        if experience.context is None:
            raise ValueError("an experience without a context cannot be stored")
        row = {
            "made_at": experience.made_at or _now(),
            "song_sha256": experience.song,
            "master_sha256": experience.master,
            "song_name": experience.name,
            "measures": measures(),
            "context": _packed(experience.context),
            "settings": json.dumps(dict(experience.settings), allow_nan=False),
            "policy": experience.policy,
            "policy_sha256": experience.policy_sha256,
            "terms": json.dumps(dict(experience.terms), allow_nan=False),
            "blind": experience.blind,
            "version": experience.version,
            "asked": json.dumps(dict(experience.asked), allow_nan=False),
            "origin": experience.origin,
        }
        updates = ", ".join(f"{name} = excluded.{name}" for name in row)
        sql = (
            f"INSERT INTO experience ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}) "
            f"ON CONFLICT (song_sha256, master_sha256) DO UPDATE SET {updates} RETURNING id"
        )
        pieces = [(each.side, each.start_s, _flac(each.audio)) for each in excerpts]
        with self._writing() as database:
            ((number,),) = database.execute(sql, tuple(row.values())).fetchall()
            database.execute("DELETE FROM audio WHERE experience = ?", (number,))
            database.executemany(
                "INSERT INTO audio VALUES (?, ?, ?, ?)", [(number, *piece) for piece in pieces]
            )
        return int(number)

    def all(self) -> list[Experience]:
        """Every experience, the oldest first."""
        return self._found("1")

    def of(self, sha256: str) -> list[Experience]:
        """The experiences of a song, or the one that gave a master, by the file's SHA-256; oldest first."""
        return self._found("? IN (song_sha256, master_sha256)", sha256)

    def excerpts(self, number: int) -> list[Excerpt]:
        """The audio that was kept of an experience."""
        with self._open() as database:
            rows = database.execute(
                "SELECT side, start_s, flac FROM audio WHERE experience = ? ORDER BY start_s, side", (number,)
            ).fetchall()
        return [Excerpt(side, start_s, _unflac(data)) for side, start_s, data in rows]

    def prefer(self, preference: Preference) -> None:
        """Store what a person likes better, in place of what they said of the same two before.

        A correction never stands in place of a rating: what was said counts more than what was done.
        """
        pair = (preference.better, preference.worse)
        with self._writing() as database:
            for better, worse in (pair, pair[::-1]):
                about = (preference.song, preference.author, better, worse)
                if (
                    preference.source == CORRECTION
                    and database.execute(
                        f"SELECT 1 FROM preference WHERE {_ABOUT} AND source = ?", (*about, RATING)
                    ).fetchone()
                ):
                    return
                database.execute(f"DELETE FROM preference WHERE {_ABOUT}", about)
            row = {"song_sha256": preference.song, "made_at": _now()}
            row |= {name: getattr(preference, name) for name in _SAID}
            database.execute(
                f"INSERT INTO preference ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()),
            )

    def preferences(self) -> list[Preference]:
        """Everything that was said or set right, in order."""
        with self._open() as database:
            rows = database.execute(f"SELECT song_sha256, {', '.join(_SAID)} FROM preference ORDER BY rowid")
            return [Preference(*row) for row in rows.fetchall()]

    def withdraw(self, refs: Iterable[str]) -> int:
        """Delete the preferences of these refs, and what a service handed over for them; how many there were.

        An experience of a service that no preference names any more goes with them.
        """
        with self._writing() as database:
            gone = sum(
                database.execute("DELETE FROM preference WHERE ref = ? AND ref != ''", (ref,)).rowcount
                for ref in refs
            )
            database.execute(
                "DELETE FROM experience WHERE origin = ? AND id NOT IN "
                "(SELECT better FROM preference WHERE better IS NOT NULL "
                "UNION SELECT worse FROM preference WHERE worse IS NOT NULL)",
                (SERVICE,),
            )
        return gone

    def forget(self, song: str | None = None) -> int:
        """Delete a song's experiences, or all, with their audio and preferences; how many there were."""
        with self._writing() as database:
            if song is None:
                return database.execute("DELETE FROM experience").rowcount
            return database.execute("DELETE FROM experience WHERE song_sha256 = ?", (song,)).rowcount

    def _found(self, condition: str, *values: str) -> list[Experience]:
        with self._open() as database:
            rows = database.execute(
                f"SELECT * FROM experience WHERE {condition} ORDER BY made_at, id", values
            ).fetchall()
        return [_experience(row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=self.patience_s, isolation_level=None)
            try:
                database.row_factory = sqlite3.Row
                _prepare(database)
                yield database
            finally:
                database.close()
        except _UNUSABLE as error:
            raise OutputError(
                f"the experiences in {self.path} cannot be used: {_reason(error)}; "
                "if it stays so, move the file away and a new one is begun"
            ) from error


_ABOUT = "song_sha256 = ? AND author = ? AND better IS ? AND worse IS ?"
_SAID = ("better", "worse", "source", "author", "ref", "note")
"""Columns of a preference beside its song, as `Preference` has them."""


class _LaterVersionError(Exception):
    """A file that a later version of this program wrote."""


_UNUSABLE = (sqlite3.Error, OSError, _LaterVersionError, zlib.error, json.JSONDecodeError)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _prepare(database: sqlite3.Connection) -> None:
    """Set a connection up, and bring the file to this version."""
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA secure_delete = ON")
    if _version(database) < SCHEMA_VERSION:
        # Where the file system has no shared memory SQLite keeps its rollback journal: slower, as safe.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        for version in range(_version(database), SCHEMA_VERSION):
            for statement in _MIGRATIONS[version]:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    if _version(database) > SCHEMA_VERSION:
        raise _LaterVersionError(
            f"a later version of mixagent wrote it (schema {_version(database)}, this one reads "
            f"{SCHEMA_VERSION})"
        )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# --- what a row holds ------------------------------------------------------------------------------


def measures() -> str:
    """A hash of what a context holds: one that holds something else cannot be shown to a policy."""
    names = (*FEATURE_NAMES, *DIAGNOSIS_NAMES, *TARGET_NAMES, *(field.name for field in fields(Analysis)))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _packed(context: Context) -> bytes:
    return zlib.compress(json.dumps(_plain(context), allow_nan=False).encode())


def _plain(context: Context) -> dict[str, Any]:
    return {
        "mix": context.mix.to_json(),
        "stems": {name: analysis.to_json() for name, analysis in context.stems.items()},
        "diagnosis": context.diagnosis.to_json(),
        "target": asdict(context.target),
        "features": {name: values.tolist() for name, values in context.features.items()},
        "measures": None if context.measures is None else context.measures.to_json(),
    }


def _context(found: Mapping[str, Any]) -> Context:
    stems = {name: Analysis.from_json(analysis) for name, analysis in found["stems"].items()}
    return Context(
        mix=Analysis.from_json(found["mix"]),
        stems=stems,
        diagnosis=Diagnosis.from_json(found["diagnosis"]),
        target=LoudnessTarget(**found["target"]),
        space=ParameterSpace.for_stems(tuple(stems)),
        features={name: np.array(values, np.float32) for name, values in found["features"].items()},
        # Experiences of before hold none.
        measures=SongMeasures.from_json(found["measures"]) if found.get("measures") else None,
    )


def _experience(row: Mapping[str, Any]) -> Experience:
    return Experience(
        song=row["song_sha256"],
        master=row["master_sha256"],
        name=row["song_name"],
        context=_context(json.loads(zlib.decompress(row["context"])))
        if row["measures"] == measures()
        else None,
        settings=json.loads(row["settings"]),
        policy=row["policy"],
        policy_sha256=row["policy_sha256"],
        terms=json.loads(row["terms"]),
        blind=row["blind"],
        version=row["version"],
        asked=json.loads(row["asked"]),
        origin=row["origin"],
        made_at=row["made_at"],
        number=row["id"],
    )


def _flac(audio: Audio) -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, audio.samples.T, audio.rate, format="FLAC", subtype="PCM_16")
        return file.getvalue()


def _unflac(data: bytes) -> Audio:
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"the audio of an experience is damaged: {error}") from error
    return Audio(np.ascontiguousarray(samples.T), rate)
