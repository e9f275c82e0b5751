"""`mixagent doctor`: what is installed, and what to do about the rest."""

from __future__ import annotations

from mixagent.cli.common import command, print_json, print_text
from mixagent.cli.flags import AsJson
from mixagent.pipeline.errors import EXIT_DONE, ModelMissingError


@command()
def doctor(as_json: AsJson = False) -> int:
    """Say what is installed, which weights and device are there, and what to do about the rest."""
    from mixagent.doctor import examine, to_json
    from mixagent.pipeline.folders import cache_folder
    from mixagent.report.tables import doctor_text

    checks = examine(cache_folder())
    if as_json:
        print_json(to_json(checks))
    else:
        print_text(doctor_text(checks))
    return EXIT_DONE if to_json(checks)["healthy"] else ModelMissingError.exit_code
