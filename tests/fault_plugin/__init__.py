"""A plug-in that fails on demand, built where a compiler and DPF (Debian's dpf-source) are.

python tests/fault_plugin/__init__.py FOLDER
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FAULTS = (
    *("none", "abort", "crash", "leave", "hang", "nan", "infinite", "late", "endless", "chatter"),
    *("loud", "silent", "moving", "memory", "slow"),
)
"""What the parameter `fault` may name, by its value."""

LATE_FRAMES = 300

HERE = Path(__file__).parent


def dpf_folder() -> Path:
    """Where the framework's source lies: `MIXAGENT_DPF`, or as Debian has it."""
    return Path(os.environ.get("MIXAGENT_DPF", "/usr/share/dpf"))


def missing() -> str:
    """What a build lacks, in words; empty where it lacks nothing."""
    if sys.platform != "linux":
        return "the fault plug-in is built on Linux alone"
    if shutil.which("g++") is None:
        return "there is no g++ to build the fault plug-in with"
    if not (dpf_folder() / "distrho" / "DistrhoPluginMain.cpp").is_file():
        return "DPF is not here (Debian: dpf-source, or MIXAGENT_DPF=FOLDER)"
    return ""


def built(folder: Path) -> Path:
    """The plug-in, built in a folder unless it is there."""
    import platform

    bundle = folder / "Fault.vst3"
    binary = bundle / "Contents" / f"{platform.machine()}-linux" / "Fault.so"
    if binary.is_file():
        return bundle
    binary.parent.mkdir(parents=True, exist_ok=True)
    dpf = dpf_folder() / "distrho"
    subprocess.run(
        [
            *("g++", "-std=gnu++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-w"),
            *("-DDISTRHO_PLUGIN_TARGET_VST3", f"-I{HERE}", f"-I{dpf}", f"-I{dpf / 'src'}"),
            *(str(HERE / "Fault.cpp"), str(dpf / "DistrhoPluginMain.cpp"), "-o", str(binary), "-ldl"),
        ],
        check=True,
    )
    return bundle


if __name__ == "__main__":
    print(missing() or built(Path(sys.argv[1])))
