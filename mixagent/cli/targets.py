"""`mixagent targets`: the platforms that a master may be made for."""

from __future__ import annotations

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE


@command()
def targets(as_json: AsJson = False) -> int:
    """List the platforms and other names that --target takes, with their sources."""
    from mixagent.report.tables import targets_text
    from mixagent.session.reporting.delivery import targets_report

    found = targets_report()
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(targets_text(found))
    return EXIT_DONE
