"""Checks that every package of the plain install has a wheel for each system, so pip compiles nothing.

pip is asked which releases it would take for a system and a Python that need not be this one; nothing is
downloaded. The packages are those that the installed metadata names, those of other systems among them,
and the release is the one that `constraints.txt` pins.

    python scripts/check_wheels.py [--python 3.11 --python 3.13] [--output wheels.md]

Exit code 0: all are there; 1: one has no wheel; 2: the index does not know some, so nothing is certain.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mixagent.pipeline.files import write_atomically

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class System:
    """A system as people call it, as pip does, and as markers of requirements do."""

    name: str
    platforms: tuple[str, ...]
    markers: Mapping[str, str]


_GLIBC = ("manylinux_2_17", "manylinux2014", "manylinux_2_24", "manylinux_2_26", "manylinux_2_27")
_NEWER = ("manylinux_2_28", "manylinux_2_31", "manylinux_2_34")


def _markers(system: str, platform: str, machine: str) -> Mapping[str, str]:
    return {
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "nt" if platform == "win32" else "posix",
    }


def _linux(machine: str) -> System:
    platforms = tuple(f"{glibc}_{machine}" for glibc in (*_GLIBC, *_NEWER))
    return System(f"Linux {machine}", platforms, _markers("Linux", "linux", machine))


SYSTEMS = (
    _linux("x86_64"),
    _linux("aarch64"),
    System("Windows x86_64", ("win_amd64",), _markers("Windows", "win32", "AMD64")),
    System("macOS arm64", ("macosx_14_0_arm64",), _markers("Darwin", "darwin", "arm64")),
)


def main() -> int:
    """Ask for each package, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", action="append", help="A Python, such as 3.11; may be given many times.")
    parser.add_argument("--output", type=Path, help="Write the table, Markdown, here too.")
    options = parser.parse_args()
    pythons = options.python or ["3.11"]
    pinned = dict(_pinned())
    needed = {(s.name, p): plain_install(s, p) for s in SYSTEMS for p in pythons}
    packages = sorted(set().union(*needed.values()))
    columns = [(system, python) for python in pythons for system in SYSTEMS]
    rows, cells = [], []
    for package in packages:
        with ThreadPoolExecutor(4) as pool:
            row = list(pool.map(partial(_asked, package, pinned.get(package), needed), columns))
        cells += row
        rows.append(f"| {package} {pinned.get(package, '')} | " + " | ".join(row) + " |")
        print(rows[-1], file=sys.stderr)
    heads = [f"{system.name}, {python}" for system, python in columns]
    table = "\n".join(["| package | " + " | ".join(heads) + " |", "|---|" + "---|" * len(columns), *rows])
    print(table)
    if options.output:
        write_atomically(options.output, f"{table}\n", through_link=True)
    if "no wheel" in cells:
        return 1
    return 2 if "unknown" in cells else 0


def plain_install(system: System, python: str) -> set[str]:
    """The names of all packages that `pip install mixagent` brings on a system, as far as is known here."""
    environment = {
        **system.markers,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "extra": "",
    }
    found: set[str] = set()
    waiting = ["mixagent"]
    while waiting:
        for name in _requires(waiting.pop(), environment):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _requires(package: str, environment: Mapping[str, str]) -> Iterator[str]:
    texts: list[str] = []
    if package == "mixagent":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        texts = project["dependencies"]
    else:
        # One of another system is not installed: its own requirements are not known here.
        with suppress(metadata.PackageNotFoundError):
            texts = metadata.requires(package) or []
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            yield canonicalize_name(requirement.name)


def _pinned() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"([\w.-]+)==(\S+)", line.strip()):
            yield canonicalize_name(found[1]), found[2]


def _asked(
    package: str,
    version: str | None,
    needed: Mapping[tuple[str, str], Collection[str]],
    column: tuple[System, str],
) -> str:
    """`yes`, what has a wheel, `no wheel`, `unknown` where the index has none; – where it is not needed."""
    system, python = column
    if package not in needed[system.name, python]:
        return "–"
    found = _releases(package, "--only-binary=:all:", f"--python-version={python}", *_named(system))
    if version in found or (found and version is None):
        return "yes"
    if found:
        return f"{found[0]} has one"
    return "no wheel" if _releases(package) else "unknown"


def _named(system: System) -> Iterator[str]:
    return (f"--platform={platform}" for platform in system.platforms)


def _releases(package: str, *options: str) -> list[str]:
    """The releases that pip would take, the newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", package, *options]
    with tempfile.TemporaryDirectory() as empty:
        # Wheels that were built here and lie in a folder say nothing of other systems.
        environment = {**os.environ, "PIP_FIND_LINKS": empty}
        said = subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout
    found = re.search(r"^Available versions: (.+)$", said, re.MULTILINE)
    return found[1].split(", ") if found else []


if __name__ == "__main__":
    sys.exit(main())
