"""Measures how long work goes on after it was cancelled, stage by stage.

    python scripts/benchmark_cancel.py SONG [--separator embedded]

Masters the song with an empty cache, cancels it when a stage is first a third done, and prints how long it
took until the call ended; then the next stage, until all of them were cancelled once. What is done is kept.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import mixagent


def main() -> None:
    """Print a row a stage, and the longest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--separator", default="auto")
    given = parser.parse_args()
    took_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIXAGENT_CACHE"] = f"{folder}/cache"
        os.environ["MIXAGENT_DATA"] = f"{folder}/data"
        while (ended := cancelled_once(given.song, given.separator, Path(folder), took_s)) is not None:
            stage, seconds = ended
            took_s[stage] = seconds
            print(f"{stage:20s} {seconds:6.2f} s", flush=True)
    print(f"{'longest':20s} {max(took_s.values()):6.2f} s")


def cancelled_once(
    song: Path, separator: str, folder: Path, known: dict[str, float]
) -> tuple[str, float] | None:
    """The first stage that is not known yet, and the seconds from its cancelling to the end; None at last."""
    cancel, asked = mixagent.Cancel(), []

    def stop(event: mixagent.Event) -> None:
        if not asked and event.stage not in known and 0.3 <= event.share < 1.0:
            asked.append((event.stage, time.monotonic()))
            cancel.cancel()

    try:
        mixagent.master(song, output=folder / "master.wav", separator=separator, on_event=stop, cancel=cancel)
    except mixagent.CancelledError:
        stage, since = asked[0]
        return stage, time.monotonic() - since
    return None


if __name__ == "__main__":
    main()
