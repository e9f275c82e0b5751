"""The repairs that there are, and whether the models that they work with are here."""

from __future__ import annotations

from mixagent.pipeline.chain.parameters import REPAIR
from mixagent.pipeline.models import available_models, shipped_weights
from mixagent.pipeline.restoration.table import REPAIRS
from mixagent.report.restore_model import KnownRepair, RepairModel, RepairsReport


def known_repairs() -> RepairsReport:
    """Every repair of the table, in the order in which they run."""
    return RepairsReport(
        repairs=tuple(
            KnownRepair(
                name=repair.name,
                works_on="stems" if repair.stems else "mix",
                stems=repair.stems,
                purpose=repair.purpose,
                parameter=f"{REPAIR}.{repair.name}",
                answers=repair.answers,
                models=tuple(_model(name) for name in repair.models),
            )
            for repair in REPAIRS.values()
        )
    )


def _model(name: str) -> RepairModel:
    """A model that can be pulled or comes with a package, or one that ships with the program."""
    for known in available_models():
        if known.name == name:
            return RepairModel(name=name, present=known.present, how="" if known.present else known.how)
    here = bool(shipped_weights(name))
    how = "" if here else "pip install --force-reinstall --no-deps mixagent"
    return RepairModel(name=name, present=here, how=how)
