"""Prints the software bill of materials of the image that it runs in: CycloneDX 1.6, as JSON.

Components are the Python packages of the environment (with the hash of each one's list of files), the
system's packages as dpkg has them, and the weights that ship with mixagent, each with its SHA-256. Source:
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

_DPKG = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
_SHORT = 100
"""A licence that is longer is the licence's text, and not its name."""


def bill() -> dict[str, Any]:
    """The whole bill."""
    own = metadata.distribution("mixagent")
    parts = [*python_packages(), *system_packages(), *weights()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _python(own) | {"type": "application"}},
        "components": sorted(parts, key=lambda part: part["bom-ref"]),
    }


def python_packages() -> Iterator[dict[str, Any]]:
    """All distributions of this environment but mixagent itself."""
    for found in metadata.distributions():
        if found.metadata["Name"] != "mixagent":
            yield _python(found)


def _python(found: metadata.Distribution) -> dict[str, Any]:
    name = found.metadata["Name"].lower().replace("_", "-")
    reference = f"pkg:pypi/{name}@{quote(found.version)}"
    record = (found.read_text("RECORD") or "").encode()
    part = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": found.version,
        "purl": reference,
        "properties": [{"name": "record-sha256", "value": hashlib.sha256(record).hexdigest()}],
    }
    licence = _licence(found)
    return part | ({"licenses": [licence]} if licence else {})


def _licence(found: metadata.Distribution) -> dict[str, Any] | None:
    expression = found.metadata.get("License-Expression")
    if expression:
        return {"expression": expression}
    classified = [
        line.rpartition(" :: ")[2]
        for line in found.metadata.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    said = (found.metadata.get("License") or "").strip()
    name = " or ".join(classified) or (said if len(said) <= _SHORT else "")
    return {"license": {"name": name}} if name else None


def system_packages() -> Iterator[dict[str, Any]]:
    """What dpkg has installed; nothing where there is no dpkg."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "--show", "--showformat", _DPKG], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return
    for line in listed.stdout.splitlines():
        state, name, version, machine, source = line.split("\t")
        if state.strip() == "ii":
            reference = f"pkg:deb/{_vendor()}/{name}@{quote(version)}?arch={machine}"
            yield {
                "type": "library",
                "bom-ref": reference,
                "name": name,
                "version": version,
                "purl": reference,
                "properties": [{"name": "source-package", "value": source}],
            }


def _vendor() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next((line[3:].strip('"') for line in lines if line.startswith("ID=")), "debian")


def weights() -> Iterator[dict[str, Any]]:
    """The networks' weights that ship with mixagent."""
    import mixagent.checkpoints

    for folder in mixagent.checkpoints.__path__:
        for path in sorted(Path(folder).rglob("*.safetensors")):
            name = path.relative_to(folder).as_posix()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            yield {
                "type": "machine-learning-model",
                "bom-ref": f"weights:{name}",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }


if __name__ == "__main__":
    print(json.dumps(bill(), indent=1))
