"""The reports of `mixagent restore` and `mixagent repairs`; see `model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from mixagent.report.model import Input, ModelRow, Output, RepairRow, StageRow
from mixagent.report.serial import Json, from_json, to_json

SCHEMA = "mixagent.restoration/1"
REPAIRS_SCHEMA = "mixagent.repairs/1"


@dataclass(frozen=True, kw_only=True)
class RestoredLevels:
    """Loudness and peaks of a song; None for silence."""

    integrated_lufs: float | None
    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None


@dataclass(frozen=True, kw_only=True)
class RestoreReport:
    """The report of a song's repairs, schema `mixagent.restoration/1`.

    Attributes:
        schema, version: of the report and of the program.
        input: the song.
        output: the file that was written; None where none was.
        dry_run: whether nothing was written.
        changed: False where the samples are those of the song.
        done: what was done, a sentence each; that there was nothing to do, where there was not.
        looked_for: names of the repairs whose defects were looked for.
        repairs: those that found theirs.
        before, after: levels of the song and of what came of it.
        models: that worked on it.
        stages: of the run.
        warnings: for the user.
    """

    schema: str = SCHEMA
    version: str
    input: Input
    output: Output | None
    dry_run: bool
    changed: bool
    done: tuple[str, ...]
    looked_for: tuple[str, ...]
    repairs: tuple[RepairRow, ...]
    before: RestoredLevels
    after: RestoredLevels
    models: tuple[ModelRow, ...]
    stages: tuple[StageRow, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """The report as JSON values."""
        return cast(dict[str, Json], to_json(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> RestoreReport:
        """The report that `to_dict` gave.

        Raises:
            ValueError: another schema, or a field that is missing or of another type; it says which.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"the report is not of schema {SCHEMA}")
        return from_json(cls, dict(data))


@dataclass(frozen=True, kw_only=True)
class RepairModel:
    """A model that a repair works with: whether it is here, and how to get it where it is not."""

    name: str
    present: bool
    how: str


@dataclass(frozen=True, kw_only=True)
class KnownRepair:
    """A repair that there is.

    Attributes:
        name: of it.
        works_on: the mix, or stems.
        stems: by name; none where it is for the mix.
        purpose: what it does.
        parameter: the setting that weighs it, 0..1.
        answers: names of the findings that it answers.
        models: that it works with.
    """

    name: str
    works_on: Literal["mix", "stems"]
    stems: tuple[str, ...]
    purpose: str
    parameter: str
    answers: tuple[str, ...]
    models: tuple[RepairModel, ...]


@dataclass(frozen=True, kw_only=True)
class RepairsReport:
    """Every repair, in the order in which they run."""

    schema: str = REPAIRS_SCHEMA
    repairs: tuple[KnownRepair, ...]

    def to_dict(self) -> dict[str, Json]:
        """The table as JSON values."""
        return cast(dict[str, Json], to_json(self))
