"""A second opinion: what another policy would do with the song, taken over whole where it measures better.

Blind reward and distance from finished music are weak judges of settings, each by itself. Of two
policies they tell the better one on most songs where both speak clearly: chosen on validation songs, see
`scripts/benchmark_conductor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixagent.conductor.agents.base import NOTHING, Desk, size
from mixagent.conductor.state import Move, Proof
from mixagent.conductor.studio import Heard

MASTER_PROOF = Proof(blind=0.03, outside=0.1)
STEMS_PROOF = Proof(blind=0.03, outside=0.1, stems=0.05)


@dataclass(frozen=True)
class OpinionAgent:
    """One other policy.

    Attributes:
        policy: its name; its decision is among the studio's opinions, where it has one.
        words: who speaks, in the reason.
    """

    policy: str
    words: str
    owns: tuple[str, ...] = ("*",)
    dimensions: tuple[str, ...] = ()
    proof: Proof = MASTER_PROOF

    @property
    def name(self) -> str:
        """The name of the policy, as the graph has it."""
        return f"opinion {self.policy}"

    def concern(self, heard: Heard) -> float:
        """How far apart the two are, root mean square over what either moves and is told in dB."""
        wanted = heard.opinions.get(self.policy)
        if wanted is None:
            return 0.0
        names = [name for name in {**heard.values, **wanted} if name.endswith("_db")]
        return size(wanted.get(name, 0.0) - heard.values.get(name, 0.0) for name in names)

    def propose(self, desk: Desk) -> Move | None:
        """All that it would do, in place of what stands."""
        concern, space = self.concern(desk.heard), desk.studio.space
        if concern <= NOTHING or desk.step < 1.0:
            return None
        wanted = desk.heard.opinions[self.policy]
        names = [name for name in {**desk.values, **wanted} if desk.may_move(name)]
        values = {name: wanted.get(name, space[name].neutral) for name in names}
        return Move(self.name, values, self.words, concern, self.proof) if values else None
