"""What the report says of stems whose strips a policy left alone."""

from __future__ import annotations

from mixagent.pipeline.chain.mixing import is_active
from mixagent.pipeline.chain.parameters import Settings
from mixagent.pipeline.measure.analysis import Analysis
from mixagent.pipeline.separation.presence import THERE, stems_there
from mixagent.policies.base import Policy
from mixagent.session.results import Results


def left_alone_words(results: Results, policy: Policy | None, applied: Settings) -> list[str]:
    """A line that names the stems that are not there and were left alone; none where no policy mixes."""
    if policy is None or not policy.hears_stems or not ("stems" in results or "separate" in results):
        return []
    heard = {name: results.get(f"hear {name}") for name in results.stem_source.values["parts"]}
    stems = {k: Analysis.from_json(v.values["analysis"]) for k, v in heard.items() if v is not None}
    there = stems_there(stems, results.repaired_heard.analysis)
    alone = [name for name, sure in there.items() if sure < THERE and not is_active(applied, name)]
    if not alone:
        return []
    return [f"left alone, because hardly any of it is in this song: {', '.join(alone)}"]
