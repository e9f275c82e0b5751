"""Prints what the project depends on, so that an image's layer of wheels outlives a change of the code.

python dependencies.py pyproject.toml serve,demucs
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def dependencies(project: Path, extras: list[str]) -> list[str]:
    """The requirements of a project and of some of its extras; extras that name others bring these too."""
    table = tomllib.loads(project.read_text())["project"]
    own = f"{table['name']}["
    found = list(table["dependencies"])
    for extra in extras:
        for requirement in table["optional-dependencies"][extra]:
            if requirement.startswith(own):
                inner = requirement[len(own) :].partition("]")[0].split(",")
                found += dependencies(project, inner)[len(table["dependencies"]) :]
            else:
                found.append(requirement)
    return found


if __name__ == "__main__":
    names = [name for name in sys.argv[2].split(",") if name]
    print("\n".join(dict.fromkeys(dependencies(Path(sys.argv[1]), names))))
