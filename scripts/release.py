"""A release: the version and the changelog by one command, and the files for the index, built and checked.

    python scripts/release.py 0.2.0     the version is set, the changelog's "Unreleased" gets its name
                                        and date, and sdist and wheel are built into dist/ and checked
    python scripts/release.py --check   builds and checks only

Nothing is committed, tagged or uploaded: the commands for that are printed. Needs the extra `release`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mixagent.pipeline.files import write_atomically

ROOT = Path(__file__).parents[1]

UNRELEASED = "## Unreleased"
_VERSION_LINES = (
    ("pyproject.toml", re.compile(r'^version = "(.+)"$', re.MULTILINE)),
    ("mixagent/__init__.py", re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)),
)
_NEEDED = (
    "mixagent/conf/config.yaml",
    "mixagent/checkpoints/finished_band/statistics.json",
    "mixagent/pipeline/render.py",
    "mixagent/report/page.html",
    "mixagent/py.typed",
)


def main() -> int:
    """Prepare a release, or check what one would be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", help="Such as 0.2.0.")
    what.add_argument("--check", action="store_true", help="Change nothing.")
    options = parser.parse_args()
    if options.version:
        try:
            set_version(ROOT, options.version, f"{datetime.now(UTC):%Y-%m-%d}")
        except ValueError as error:
            parser.error(str(error))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT)], check=True)
    files = sorted(dist.iterdir())
    problems = [problem for file in files for problem in problems_of(file)]
    for problem in problems:
        print(problem, file=sys.stderr)
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)], check=False
    )
    if problems or checked.returncode:
        return 1
    if options.version:
        print(f"git commit -am 'Release {options.version}' && git tag v{options.version}")
        print("python -m twine upload dist/*")
    return 0


def set_version(root: Path, version: str, date: str) -> None:
    """Write a version into the project and its changelog.

    Raises:
        ValueError: no version, not later than the one there, nothing unreleased, or the two files disagree.
    """
    try:
        new = Version(version)
    except InvalidVersion as error:
        raise ValueError(f"{version} is no version: give one such as 0.2.0") from error
    texts = {name: (root / name).read_text(encoding="utf-8") for name, _ in _VERSION_LINES}
    found = {line.findall(texts[name])[0] for name, line in _VERSION_LINES}
    if len(found) > 1:
        raise ValueError(f"the files name different versions: {' and '.join(sorted(found))}")
    (old,) = found
    if not new > Version(old):
        raise ValueError(f"{version} is not later than {old}")
    changelog = root / "CHANGELOG.md"
    told = changelog.read_text(encoding="utf-8")
    head, mark, rest = told.partition(f"{UNRELEASED}\n")
    if not mark or not rest.split("\n## ", 1)[0].strip():
        raise ValueError(f"CHANGELOG.md tells nothing under {UNRELEASED}")
    for name, line in _VERSION_LINES:
        write_atomically(root / name, line.sub(lambda match: match[0].replace(old, version), texts[name]))
    write_atomically(changelog, f"{head}{UNRELEASED}\n\n## {version} – {date}\n{rest}")


def problems_of(file: Path) -> Iterator[str]:
    """The problems of a built file, a line each: links, other top-level names, missing files."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            names = {entry.filename for entry in wheel.infolist()}
            # The high half of the attributes holds the mode of Unix, of which 0o120000 is a link.
            links = [e.filename for e in wheel.infolist() if (e.external_attr >> 16) & 0o170000 == 0o120000]
        others = {name.split("/")[0] for name in names if ".dist-info/" not in name} - {"mixagent"}
        yield from (f"{file.name}: {name} is beside mixagent" for name in sorted(others))
    else:
        with tarfile.open(file) as sdist:
            names = {member.name.partition("/")[2] for member in sdist.getmembers()}
            links = [member.name for member in sdist.getmembers() if member.issym() or member.islnk()]
    yield from (f"{file.name}: {name} is a link, which not every system can unpack" for name in links)
    yield from (f"{file.name}: {name} is missing" for name in _NEEDED if name not in names)


if __name__ == "__main__":
    sys.exit(main())
