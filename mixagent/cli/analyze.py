"""`mixagent analyze`: what a song measures and what is wrong with it."""

from __future__ import annotations

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import Printing, Song
from mixagent.cli.streams import spooled
from mixagent.pipeline.errors import EXIT_DONE


@command()
def analyze(song: Song, *, printing: Printing) -> int:
    """Measure a song and say what is wrong with it; nothing is written."""
    from mixagent.cli.progress import shown_progress
    from mixagent.report.tables import analysis_text
    from mixagent.session.analyse import measured_song

    with spooled([song]) as files, shown_progress(printing.quiet) as progress:
        found = measured_song(files[0], progress)
    if printing.as_json:
        print_json(found)
    else:
        print_text(analysis_text(found))
    return EXIT_DONE
