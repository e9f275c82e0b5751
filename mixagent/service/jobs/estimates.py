"""Time left, from what the stages of jobs of the same shape took before."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from mixagent.service.store.database import Database
from mixagent.service.store.tables import StageCost

_NEW = 0.3
"""Weight of the last job in the mean."""

_BELIEVED_S = 30.0
"""What was read is believed for so long: others learn, too."""

_WRITE_EVERY_S = 10.0

_LEAST_AUDIO_S = 10.0
"""Shorter songs cost about as much as this: what a stage takes by itself outweighs them."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a stage a second of audio, and its place among the stages of its shape."""

    stage: str
    place: float
    seconds_per_second: float


class Estimates:
    """What stages cost, learned from job to job; what is written of it may be a few jobs old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[float, dict[str, Cost]]] = {}
        self._written: dict[str, float] = {}
        self._lock = threading.Lock()

    def expected(self, shape: str, audio_s: float) -> dict[str, float]:
        """Seconds that each stage is expected to take, in the order in which they begin."""
        costs = sorted(self._costs(shape).values(), key=lambda cost: cost.place)
        return {cost.stage: cost.seconds_per_second * max(audio_s, _LEAST_AUDIO_S) for cost in costs}

    def whole_s(self, shape: str, audio_s: float) -> float | None:
        """Seconds that a job is expected to take; None where nothing like it was run before."""
        expected = self.expected(shape, audio_s)
        return round(sum(expected.values()), 1) if expected else None

    def learn(self, shape: str, audio_s: float, seconds: Mapping[str, float]) -> None:
        """Remember what the stages of a job took, each as its share of the job's own time."""
        known = self._costs(shape)
        for place, (stage, taken_s) in enumerate(seconds.items()):
            each = taken_s / max(audio_s, _LEAST_AUDIO_S)
            old = known.get(stage)
            if old is not None:
                each = (1 - _NEW) * old.seconds_per_second + _NEW * each
            with self._lock:
                known[stage] = Cost(stage, place, each)
        # A stage that was not gone through costs nothing this time.
        for stage in known.keys() - seconds.keys():
            old = known[stage]
            with self._lock:
                known[stage] = Cost(stage, old.place, (1 - _NEW) * old.seconds_per_second)
        if time.monotonic() - self._written.get(shape, -_WRITE_EVERY_S) < _WRITE_EVERY_S:
            return
        self._written[shape] = time.monotonic()
        with self._database.writing() as session:
            for cost in known.values():
                session.merge(
                    StageCost(
                        shape=shape,
                        stage=cost.stage,
                        place=cost.place,
                        seconds_per_second=cost.seconds_per_second,
                        count=1,
                    )
                )

    def _costs(self, shape: str) -> dict[str, Cost]:
        """What is known of a shape; others learn, too, so what was read is not believed for long."""
        with self._lock:
            read_at, found = self._known.get(shape, (0.0, {}))
        if read_at and time.monotonic() - read_at < _BELIEVED_S:
            return found
        with self._database.reading() as session:
            rows = session.scalars(select(StageCost).where(StageCost.shape == shape))
            found = {row.stage: Cost(row.stage, row.place, row.seconds_per_second) for row in rows}
        with self._lock:
            self._known[shape] = (time.monotonic(), found)
        return found


class Course:
    """How far a job is, stage by stage, from the events of the library.

    Stages may run side by side. Time that passes is counted to the stage that was told of last, so that the
    seconds of all stages together are the job's.
    """

    def __init__(self, expected: Mapping[str, float], begun_at: float) -> None:
        self._expected = dict(expected)
        self._shares: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._last: str | None = None
        self._at = begun_at

    def tell(self, stage: str, share: float, at: float) -> bool:
        """Take in an event; whether a stage began or ended with it."""
        turned = stage not in self._shares or share >= 1.0 > self._shares[stage]
        spent = self._last or stage
        self._seconds[spent] = self._seconds.get(spent, 0.0) + max(0.0, at - self._at)
        self._seconds.setdefault(stage, 0.0)
        self._shares[stage] = min(1.0, max(0.0, share))
        self._last, self._at = stage, at
        return turned

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, in the order in which they began."""
        return dict(self._seconds)

    def left_s(self) -> float | None:
        """Seconds that are left: of each stage what is expected of it, and of the one at work its rest."""
        if not self._expected:
            return None
        left = 0.0
        for stage, expected_s in self._expected.items():
            left += expected_s * (1.0 - self._shares.get(stage, 0.0))
        return round(left, 1)

    def to_dict(self) -> dict[str, Any]:
        """The `progress` of a job."""
        return {
            "stage": self._last,
            "share": self._shares.get(self._last or "", 0.0),
            "left_s": self.left_s(),
            "stages": self._rows(),
        }

    def brief(self) -> dict[str, Any]:
        """What an event of a stream says of it."""
        last = self._last or ""
        return {
            "stage": self._last,
            "share": self._shares.get(last, 0.0),
            "seconds": round(self._seconds.get(last, 0.0), 2),
            "left_s": self.left_s(),
        }

    def _rows(self) -> Sequence[dict[str, Any]]:
        begun = list(self._shares)
        waiting = [name for name in self._expected if name not in self._shares]
        return [self._row(name) for name in (*begun, *waiting)]

    def _row(self, name: str) -> dict[str, Any]:
        share = self._shares.get(name)
        state = "waiting" if share is None else "done" if share >= 1.0 else "running"
        expected_s = self._expected.get(name)
        return {
            "name": name,
            "state": state,
            "share": share or 0.0,
            "seconds": round(self._seconds.get(name, 0.0), 2),
            "expected_s": None if expected_s is None else round(expected_s, 2),
        }
