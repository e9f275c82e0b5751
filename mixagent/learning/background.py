"""The background learner: it fine-tunes while the machine is idle, and ends at once when it is not.

`python -m mixagent.learning.background` learns what is new once and ends; whoever started it may kill it at
any time, and the next one goes on from what it kept. It ends by itself with its parent.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator

from mixagent.policies.experience import ExperienceStore

MOST_LOAD = 0.5
"""Load a core, over the last minute, under which a machine is idle."""

LOOK_EVERY_S = 30.0
"""Between two looks whether there is something new and the machine is idle."""


def load_is_low(own: float = 0.0) -> bool:
    """True where the system's load a core is low; where a system does not say, it is.

    Args:
        own: load that the asker makes itself.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return True
    return (load - own) / (os.cpu_count() or 1) < MOST_LOAD


def learn_in_background(
    say: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
    rounds: Iterator[int] | None = None,
) -> None:
    """Learn whenever there is something new and the machine is idle, until it is interrupted.

    Args:
        say: tells what came of a lesson, a line each.
        wait: waits so many seconds.
        rounds: one for each look; without end where it is None.
    """
    from mixagent.learning.user import LessonSettings, Notebook, learn_while, lines_of

    store, notebook = ExperienceStore.default(), Notebook.default()
    for _ in rounds or iter(int, 1):
        if notebook.new(store) and load_is_low():
            lesson = learn_while(lambda: load_is_low(own=1.0), store, LessonSettings(), notebook)
            for line in [] if lesson is None else lines_of(lesson):
                say(line)
        wait(LOOK_EVERY_S)


def main() -> None:
    """Learn what is new, and say what came of it in a line of JSON."""
    from mixagent.learning.user import LessonSettings, Notebook, learn_while, lesson_json
    from mixagent.pipeline.errors import MixagentError

    if hasattr(os, "nice"):
        os.nice(19)
    parent = os.getppid()
    try:
        lesson = learn_while(
            lambda: os.getppid() == parent, ExperienceStore.default(), LessonSettings(), Notebook.default()
        )
    except MixagentError as error:
        print(json.dumps({"failed": str(error)}))
        sys.exit(1)
    print(json.dumps({"lesson": None if lesson is None else lesson_json(lesson)}))


if __name__ == "__main__":
    main()
