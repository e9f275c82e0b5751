"""The fault plug-in for tests: built once a run, in a folder that the program looks in."""

from pathlib import Path

import pytest
from fault_plugin import FAULTS, built, missing

from mixagent.pipeline.plugins.child import Limits
from mixagent.pipeline.plugins.library import FOLDERS

LIMITS = Limits(load_s=20.0, block_s=2.5, slowest=0.3, memory_bytes=500_000_000)

MAP = """\
plugin: Fault
effect: comp
places: [strip, bus, master]
fixed: {fault: %s, after_s: %s}
tried: 1.0.0
"""


def write_map(data_folder: Path, fault: str = "none", after_s: float = 0.0) -> None:
    """A map of the fault plug-in among the user's own, with a way of failing."""
    folder = data_folder / "plugins"
    folder.mkdir(exist_ok=True)
    (folder / "fault.yaml").write_text(MAP % (FAULTS.index(fault), after_s), encoding="utf-8")


@pytest.fixture(scope="session")
def fault_build(tmp_path_factory) -> Path:
    """The fault plug-in's bundle."""
    if missing():
        pytest.skip(missing())
    return built(tmp_path_factory.mktemp("vst3"))


@pytest.fixture
def fault_plugin(fault_build, monkeypatch, cache_folder) -> Path:
    """The same, where the program finds it by its name."""
    monkeypatch.setenv(FOLDERS, str(fault_build.parent))
    return fault_build
