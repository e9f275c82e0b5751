"""Damage drawn afresh: far wider than the mechanisms of `envs.pathologies`, in any mixture.

`fields` bends levels over frequency and time, for audio and for `SongBands` alike; `codecs`,
`vocoders` and `dynamics` do what no gain can. None of it is a mechanism that is kept for validation:
no MP3, no bands thrown to alternate sides, no blurred magnitudes with lost phases, no narrow
resonances among the low mids, no bands pressed towards their means from both sides.
"""

from mixagent.envs.degradation.drawing import FAMILIES, Family, degrade, draw_families
from mixagent.envs.degradation.fields import Field, draw_field

__all__ = ["FAMILIES", "Family", "Field", "degrade", "draw_families", "draw_field"]
