"""What all work on songs shares: the cache, and a run of stages."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mixagent.pipeline.folders import cache_folder
from mixagent.pipeline.graph.runner import Cache, Stage, StageEvent, run_stages
from mixagent.pipeline.types import ShowProgress
from mixagent.pipeline.warm import MODELS
from mixagent.session.results import Results
from mixagent.settings import Config

NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass
class Runner:
    """Runs stages against one cache and remembers how each of them went."""

    cache: Cache
    show: ShowProgress
    events: dict[str, StageEvent] = field(default_factory=dict)

    def stages(
        self,
        stages: Sequence[Stage],
        cancel: threading.Event | None = None,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> Results:
        """The stages' results by name; see `run_stages`. Those in `labels` are shown by another name."""

        def labelled(event: StageEvent) -> None:
            self._heard(replace(event, stage=labels.get(event.stage, event.stage)))

        return Results(run_stages(stages, self.cache, labelled, cancel))

    def _heard(self, event: StageEvent) -> None:
        # A stage that stands in a second list is found in the cache there: its first run counts.
        if event.stage in self.events and self.events[event.stage].status != "running":
            return
        self.events[event.stage] = event
        self.show(event.stage, event.fraction)


@contextmanager
def opened_run(config: Config, use_cache: bool, progress: ShowProgress | None) -> Iterator[Runner]:
    """A runner on the user's cache, or on one that is gone when the context ends."""
    show = progress or (lambda stage, share: None)
    budget = config.pipeline.cache_gb * 1e9
    MODELS.budget_bytes = config.pipeline.models_gb * 1e9
    with Cache(cache_folder(), budget) if use_cache else Cache.temporary() as cache:
        yield Runner(cache, show)
