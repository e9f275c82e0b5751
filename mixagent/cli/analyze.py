"""`mixagent analyze`: what a song measures and what is wrong with it."""

from __future__ import annotations

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import DualMono, Printing, Song
from mixagent.cli.streams import spooled
from mixagent.pipeline.errors import EXIT_DONE


@command()
def analyze(song: Song, *, dual_mono: DualMono = False, printing: Printing) -> int:
    """Measure a song and say what is wrong with it; nothing is written."""
    from mixagent import api
    from mixagent.cli.progress import shown_events
    from mixagent.report.tables import analysis_text

    with spooled([song]) as files, shown_events(printing.quiet) as show:
        found = api.analyze(files[0], dual_mono=dual_mono, on_event=show).report
    if printing.as_json:
        print_json(found.to_dict())
    else:
        print_text(analysis_text(found))
    return EXIT_DONE
