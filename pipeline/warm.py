"""Loaded models, kept warm within a budget of memory: the least recently used go first.

    with MODELS.loaded("inpainting", load, size_bytes=12e6) as net:
        ...

One model is loaded at a time. Models that fit into the budget together run side by side; one that does not
fit beside those in use waits until they are given back, and one that is over the budget alone runs alone
and is not kept.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

BUDGET_BYTES = 1.5e9
"""Memory for models where nothing else is set: the embedded separator at work, and the nets of repairs."""

Model = TypeVar("Model")


@dataclass
class _Entry:
    """A model that is here or on its way: `users` work with it, and it is `ready` once loaded."""

    size_bytes: float
    users: int = 0
    work_bytes: float = 0.0
    ready: bool = False
    model: Any = None

    @property
    def in_use_bytes(self) -> float:
        """What it takes for those who work with it; none where it is only kept."""
        return self.size_bytes + self.work_bytes if self.users else 0.0


class Models:
    """Keeps loaded models for whoever asks for them by name next; any thread may ask.

    Attributes:
        budget_bytes: what the models in use and those kept may take together.
    """

    def __init__(self, budget_bytes: float = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        # The least recently used first.
        self._entries: dict[str, _Entry] = {}
        self._changed = threading.Condition()
        self._loader: int | None = None
        self._held: Counter[int] = Counter()

    @property
    def names(self) -> tuple[str, ...]:
        """The models that are loaded now, the least recently used first."""
        with self._changed:
            return tuple(name for name, entry in self._entries.items() if entry.ready)

    @contextmanager
    def loaded(
        self,
        name: str,
        load: Callable[[], Model],
        size_bytes: float,
        *,
        work_bytes: float = 0.0,
        keep: bool = True,
    ) -> Iterator[Model]:
        """The model of this name, loaded unless it is here; it is valid inside the context.

        All who ask for a name at once share one model, so using it must not change it. A thread that holds
        one model already does not wait for room for another.

        Args:
            name: says which weights on which device, such as `declip` or `htdemucs on cuda`.
            load: gives the model; it must not depend on the caller.
            size_bytes: that it takes while it is loaded: its weights.
            work_bytes: that a run takes on top, for the input and what the network makes of it.
            keep: False if it is to be given up when its last user has gone, whatever room there is.
        """
        entry = self._taken(name, load, size_bytes, work_bytes)
        try:
            yield entry.model
        finally:
            self._give_back(name, entry, work_bytes, keep)

    def release(self) -> None:
        """Give up every model that nobody uses."""
        with self._changed:
            self._evict(0.0)

    def _taken(self, name: str, load: Callable[[], Any], size_bytes: float, work_bytes: float) -> _Entry:
        me = threading.get_ident()

        def may_begin() -> bool:
            entry = self._entries.get(name)
            if entry is None:
                if self._loader not in (None, me):
                    return False
            elif not entry.ready:
                return False
            in_use = sum(other.in_use_bytes for other in self._entries.values())
            new = work_bytes + (0.0 if entry is not None and entry.users else size_bytes)
            return not in_use or self._held[me] > 0 or in_use + new <= self.budget_bytes

        with self._changed:
            self._changed.wait_for(may_begin)
            found = self._entries.pop(name, None)
            entry = self._entries[name] = found or _Entry(size_bytes)
            entry.users += 1
            entry.work_bytes += work_bytes
            self._held[me] += 1
            self._evict(self.budget_bytes)
            if found is not None:
                return entry
            outer, self._loader = self._loader, me
        try:
            entry.model = load()
            entry.ready = True
        finally:
            with self._changed:
                self._loader = outer
                if not entry.ready:
                    del self._entries[name]
                    self._let_go(me)
                self._changed.notify_all()
        return entry

    def _give_back(self, name: str, entry: _Entry, work_bytes: float, keep: bool) -> None:
        with self._changed:
            entry.users -= 1
            entry.work_bytes -= work_bytes
            self._let_go(threading.get_ident())
            del self._entries[name]
            if keep or entry.users:
                self._entries[name] = entry
            self._evict(self.budget_bytes)
            self._changed.notify_all()

    def _let_go(self, thread: int) -> None:
        self._held[thread] -= 1
        if not self._held[thread]:
            del self._held[thread]

    def _evict(self, budget_bytes: float) -> None:
        """Give up models that nobody uses, the least recently used first, until the rest fits."""
        total = sum(
            entry.in_use_bytes if entry.users else entry.size_bytes for entry in self._entries.values()
        )
        for name, entry in list(self._entries.items()):
            if total > budget_bytes and not entry.users:
                del self._entries[name]
                total -= entry.size_bytes


MODELS = Models()
"""The models of this process."""
