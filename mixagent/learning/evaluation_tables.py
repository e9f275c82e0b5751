"""What the rows of an evaluation say: estimates with intervals, as one object and as Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixagent.learning.evaluation_cases import ALL, DAMAGES, UNTOUCHED
from mixagent.report.words import number
from mixagent.reward.recovery import DIMENSIONS

SCHEMA = "mixagent.learning.evaluation/1"

DAMAGED = "damaged"
"""Every case that is not `undamaged`, together."""

DAMAGED_ALONE = tuple(damage for damage in DAMAGES if damage != UNTOUCHED)

NEUTRAL = "neutral"
"""The system that leaves everything to the finaliser."""

TRAINED, KEPT = "trained on", "kept apart"
"""Whether a case's damage was done by mechanisms that are for training, or that are for validation only."""

DRAWS = 2000
COVERED = (2.5, 97.5)
"""Percentiles of the bootstrap that an interval spans."""

CAPTION = """\
Every system's render is finished to the same target by mixagent's finaliser and judged by the same reward.
Recovery is 1 − Σ distance after ÷ Σ distance before, summed over songs, so that a song hardly damaged
weighs little: 100 % is the original, 0 the damaged song, negative is worse. Beside neutral, the distance
before is what the neutral chain leaves, so that the finaliser's own share is nobody's. Harm is how far
undamaged songs were moved, in dB of tone and image distance, mean over songs; the row `neutral` is what the
finaliser alone does. Blind is the reward without the truth, mean over the damaged songs. Renders are all that
were judged for one decision, seconds its median time. In brackets: 95 % bootstrap intervals over songs."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A figure, and between what a bootstrap over songs puts it in 95 % of its draws."""

    value: float
    low: float
    high: float


def summarise(setup: Mapping[str, Any], rows: Sequence[Row], systems: Sequence[str]) -> dict[str, Any]:
    """All figures of an evaluation as one object, schema `mixagent.learning.evaluation/1`.

    Args:
        setup: what the rows have in common.
        rows: of `evaluate`.
        systems: names in the order of the tables; those without a row are left out.
    """
    judged = [row for row in rows if "skipped" not in row]
    of = {name: [row for row in judged if row["system"] == name] for name in systems}
    skipped = {row["case"]: row["skipped"] for row in rows if "skipped" in row}
    return {
        "schema": SCHEMA,
        "setup": dict(setup),
        "damages": [damage for damage in DAMAGES if any(row["damage"] == damage for row in judged)],
        "systems": [_system(name, own, of.get(NEUTRAL, ())) for name, own in of.items() if own],
        "claims": [asdict(claim) for claim in _claims(of)],
        "skipped": skipped,
    }


def _system(name: str, rows: Sequence[Row], neutral: Sequence[Row]) -> dict[str, Any]:
    by_damage = {damage: [row for row in rows if row["damage"] == damage] for damage in DAMAGES}
    by_damage[DAMAGED] = [row for row in rows if row["damage"] != UNTOUCHED]
    there = {damage: own for damage, own in by_damage.items() if own}
    members = sorted({row["member"] for row in rows})
    return {
        "name": name,
        "members": members,
        "songs": len({row["song"] for row in rows}),
        "cases": len({row["case"] for row in rows}),
        "renders": rows[0]["renders"],
        "seconds": float(np.median([row["seconds"] for row in rows])),
        "blind": {damage: _json(_mean(own, _blind)) for damage, own in there.items()},
        "recovery": {
            damage: {what: _json(_recovery(own, what)) for what in ("total", *DIMENSIONS)}
            for damage, own in there.items()
            if damage != UNTOUCHED
        },
        "mechanisms": {
            kind: _json(_recovery(_of(rows, damage=ALL, mechanisms=kind), "total"))
            for kind in (TRAINED, KEPT)
        },
        "beside_neutral": {
            damage: _json(_beside(own, neutral)) for damage, own in there.items() if damage in DAMAGED_ALONE
        },
        "harm": {what: _json(_mean(there.get(UNTOUCHED, []), _after(what))) for what in ("tone", "image")},
        "by_member": {member: _member([r for r in rows if r["member"] == member]) for member in members},
    }


def _of(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def _member(rows: Sequence[Row]) -> dict[str, Any]:
    damaged = [row for row in rows if row["damage"] != UNTOUCHED]
    return {
        "blind": _json(_mean(damaged, _blind)),
        "recovery": _json(_recovery([row for row in rows if row["damage"] == ALL], "total")),
    }


# --- estimates -------------------------------------------------------------------------------------


def _mean(rows: Sequence[Row], figure: Callable[[Row], float]) -> Estimate | None:
    return _ratio(rows, figure, lambda row: 1.0)


def _blind(row: Row) -> float:
    return float(row["blind"])


def _after(what: str) -> Callable[[Row], float]:
    return lambda row: row["after"][what] if row["after"] else float("nan")


def _before(what: str) -> Callable[[Row], float]:
    return lambda row: row["before"][what] if row["before"] else float("nan")


def _recovery(rows: Sequence[Row], what: str) -> Estimate | None:
    left = _ratio(rows, _after(what), _before(what))
    return left and Estimate(1 - left.value, 1 - left.high, 1 - left.low)


def _beside(rows: Sequence[Row], neutral: Sequence[Row]) -> Estimate | None:
    """As `_recovery`, from what the neutral chain leaves of the same cases."""
    left = {row["case"]: row["after"] for row in neutral}
    known = [{**row, "before": left[row["case"]]} for row in rows if row["case"] in left]
    return _recovery(known, "total")


def _ratio(
    rows: Sequence[Row], upper: Callable[[Row], float], lower: Callable[[Row], float]
) -> Estimate | None:
    """The ratio of two sums over the rows that have both; the bootstrap draws whole songs."""
    sums: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    for row in rows:
        pair = np.array([upper(row), lower(row)])
        if np.isfinite(pair).all():
            sums[row["song"]] += pair
    return estimate(np.array(list(sums.values()))) if sums else None


def estimate(sums: NDArray[np.float64]) -> Estimate | None:
    """The ratio of the totals of two columns, shape (songs, 2), with its interval; None over zero."""
    total = sums.sum(axis=0)
    if not total[1]:
        return None
    chosen = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    drawn = sums[chosen].sum(axis=1)
    ratios = drawn[drawn[:, 1] != 0]
    low, high = np.percentile(ratios[:, 0] / ratios[:, 1], COVERED)
    return Estimate(float(total[0] / total[1]), float(low), float(high))


def _json(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else asdict(found)


# --- what it must show -----------------------------------------------------------------------------


POSITIVE = 0.005
"""The least recovery that counts as one: a policy that does nothing must not meet a claim."""


@dataclass(frozen=True)
class Claim:
    """Something that the evaluation should show, and whether it does.

    Attributes:
        text: what.
        figure: what was found, with its interval.
        limit: what it must come up to.
        most: whether the limit is the most and not the least.
        met: whether the figure does.
        sure: whether the whole interval does.
    """

    text: str
    figure: Estimate
    limit: float
    most: bool
    met: bool
    sure: bool


def _claims(of: Mapping[str, Sequence[Row]]) -> list[Claim]:
    policy = of.get("policy", ())
    found = [
        _claim("policy − random@128, blind", _difference(of, "policy", "random@128"), 0.0),
        _claim("policy ÷ cma@128, blind", _share(of, "policy", "cma@128"), 0.9),
        _claim("cma:policy@64 − cma@640, blind", _difference(of, "cma:policy@64", "cma@640"), 0.0),
        *(
            _claim(
                f"policy, recovery of {damage}",
                _recovery([row for row in policy if row["damage"] == damage], "total"),
                0.35 if damage == ALL else POSITIVE,
            )
            for damage in DAMAGES
            if damage != UNTOUCHED
        ),
        *(
            _claim(
                f"policy, harm to {what} in dB",
                _mean([row for row in policy if row["damage"] == UNTOUCHED], _after(what)),
                1.0,
                most=True,
            )
            for what in ("tone", "image")
        ),
    ]
    return [claim for claim in found if claim is not None]


def _claim(text: str, figure: Estimate | None, limit: float, most: bool = False) -> Claim | None:
    if figure is None:
        return None
    worst = figure.high if most else figure.low
    met, sure = ((value < limit if most else value >= limit) for value in (figure.value, worst))
    return Claim(text, figure, limit, most, bool(met), bool(sure))


def _difference(of: Mapping[str, Sequence[Row]], mine: str, theirs: str) -> Estimate | None:
    pairs = _paired(of, mine, theirs)
    return _ratio(pairs, lambda row: row["mine"] - row["theirs"], lambda row: 1.0)


def _share(of: Mapping[str, Sequence[Row]], mine: str, theirs: str) -> Estimate | None:
    return _ratio(_paired(of, mine, theirs), lambda row: row["mine"], lambda row: row["theirs"])


def _paired(of: Mapping[str, Sequence[Row]], mine: str, theirs: str) -> list[Row]:
    """The blind rewards of two systems on the damaged cases that both have, the mean over members each."""
    one, other = (_by_case(of.get(name, ())) for name in (mine, theirs))
    songs = {row["case"]: row["song"] for row in of.get(mine, ())}
    return [{"song": songs[case], "mine": one[case], "theirs": other[case]} for case in one if case in other]


def _by_case(rows: Sequence[Row]) -> dict[str, float]:
    blind: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["damage"] != UNTOUCHED:
            blind[row["case"]].append(row["blind"])
    return {case: float(np.mean(values)) for case, values in blind.items()}


# --- as Markdown -----------------------------------------------------------------------------------


def markdown(summary: Mapping[str, Any]) -> str:
    """The tables of a summary."""
    damages = [damage for damage in summary["damages"] if damage != UNTOUCHED]
    systems = summary["systems"]
    parts = [
        CAPTION,
        _table(
            (
                "system",
                "songs",
                "renders",
                "seconds",
                "blind",
                "recovery, all five",
                "harm tone",
                "harm image",
            ),
            [_overall(system) for system in systems],
        ),
        "Recovery in % by what the songs were damaged with",
        _table(
            ("system", *damages),
            [
                (s["name"], *(_percent(s["recovery"].get(d, {}).get("total")) for d in damages))
                for s in systems
            ],
        ),
        "Recovery beside neutral in % by what the songs were damaged with",
        _table(
            ("system", *damages),
            [(s["name"], *(_percent(s["beside_neutral"].get(d)) for d in damages)) for s in systems],
        ),
        "Recovery in %, all five at once, by mechanisms that are for training and by others",
        _table(
            ("system", TRAINED, KEPT),
            [(s["name"], *(_percent(s["mechanisms"][k]) for k in (TRAINED, KEPT))) for s in systems],
        ),
        "Recovery in % by dimension, all five at once",
        _table(
            ("system", *DIMENSIONS),
            [
                (s["name"], *(_percent(s["recovery"].get(ALL, {}).get(d)) for d in DIMENSIONS))
                for s in systems
            ],
        ),
        "Blind reward by what the songs were damaged with",
        _table(
            ("system", *summary["damages"]),
            [(s["name"], *(_signed(s["blind"].get(d)) for d in summary["damages"])) for s in systems],
        ),
        *_seeds(systems),
        *_claimed(summary["claims"]),
        *(f"Skipped {case}: {reason}" for case, reason in summary["skipped"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _overall(system: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        system["name"],
        str(system["songs"]),
        str(system["renders"]),
        f"{system['seconds']:.2f}",
        _signed(system["blind"].get(DAMAGED)),
        _percent(system["recovery"].get(ALL, {}).get("total")),
        *(_plain(system["harm"][what]) for what in ("tone", "image")),
    )


def _seeds(systems: Sequence[Mapping[str, Any]]) -> list[str]:
    """One table with a row for each policy that a system stands for, where it stands for several."""
    rows = [
        (system["name"], member, _signed(found["blind"]), _percent(found["recovery"]))
        for system in systems
        for member, found in system["by_member"].items()
        if len(system["members"]) > 1
    ]
    heads = ("system", "policy", "blind", "recovery, all five")
    return ["Each policy alone", _table(heads, rows)] if rows else []


def _claimed(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            claim["text"],
            _cell(claim["figure"], 3),
            f"{'<' if claim['most'] else '≥'} {claim['limit']:g}",
            ("yes" if claim["sure"] else "yes, within chance") if claim["met"] else "NO",
        )
        for claim in claims
    ]
    return ["What it must show", _table(("figure", "found", "must be", "met"), rows)] if rows else []


def _signed(found: Mapping[str, float] | None) -> str:
    return _cell(found, 3, sign=True)


def _plain(found: Mapping[str, float] | None) -> str:
    return _cell(found, 2)


def _percent(found: Mapping[str, float] | None) -> str:
    return _cell(found and {key: 100 * value for key, value in found.items()}, 0, sign=True)


def _cell(found: Mapping[str, float] | None, digits: int, sign: bool = False) -> str:
    if found is None:
        return number(None)
    value, low, high = (number(found[key], digits, sign) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
