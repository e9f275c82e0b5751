"""The file of code in a plug-in, found and read without running it."""

from __future__ import annotations

import hashlib
import platform
import struct
import sys
from pathlib import Path

from mixagent.pipeline.errors import InputError, reason

SUFFIXES = (".vst3", ".component") if sys.platform == "darwin" else (".vst3",)
"""Of the plug-ins that this system can load."""

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_ELF = {3: "32-bit x86", 40: "32-bit ARM", 62: "x86_64", 183: "aarch64"}
_PE = {0x14C: "32-bit x86", 0x8664: "x86_64", 0xAA64: "aarch64"}
_MACH = {0x01000007: "x86_64", 0x0100000C: "aarch64", 7: "32-bit x86", 12: "32-bit ARM"}
_SYSTEMS = {"linux": ("Linux", "so"), "darwin": ("macOS", ""), "win32": ("Windows", "vst3")}
_HEAD_BYTES = 4096
_MOST_SLICES = 16


def machine() -> str:
    """The architecture that plug-ins must be for."""
    name = platform.machine().lower()
    return _MACHINES.get(name, name)


def binary_of(plugin: Path) -> Path:
    """The file that this system would load of a plug-in, checked to be for it.

    Raises:
        InputError: it is missing, no plug-in, or for another system or architecture.
    """
    if plugin.suffix not in SUFFIXES:
        raise _not(plugin, f"is no plug-in: its name does not end with {' or '.join(SUFFIXES)}")
    if not plugin.exists():
        raise _not(plugin, "is not there")
    found = plugin if plugin.is_file() else _in_bundle(plugin)
    try:
        with found.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise _not(plugin, f"cannot be read: {reason(error)}") from error
    system, machines = made_for(head)
    ours = _SYSTEMS.get(sys.platform, ("this system", ""))[0]
    if not system:
        raise _not(plugin, f"is no plug-in: {found.name} is no code")
    if system != ours:
        raise _not(plugin, f"is for {system}, and this is {ours}")
    if machine() not in machines:
        raise _not(plugin, f"is for {' and '.join(machines)}, and this is {machine()}")
    return found


def made_for(head: bytes) -> tuple[str, tuple[str, ...]]:
    """System and architectures of a file of code, by its first 4096 bytes; empty for what is none."""
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        order = "<" if head[5] == 1 else ">"
        return "Linux", (_ELF.get(struct.unpack_from(f"{order}H", head, 18)[0], "another machine"),)
    if head[:2] == b"MZ" and len(head) >= 64:
        at = struct.unpack_from("<I", head, 60)[0]
        if head[at : at + 4] == b"PE\0\0" and len(head) >= at + 6:
            return "Windows", (_PE.get(struct.unpack_from("<H", head, at + 4)[0], "another machine"),)
    if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe") and len(head) >= 8:
        return "macOS", (_MACH.get(struct.unpack_from("<I", head, 4)[0], "another machine"),)
    if head[:4] == b"\xca\xfe\xba\xbe" and len(head) >= 8:
        count = min(struct.unpack_from(">I", head, 4)[0], _MOST_SLICES)
        kinds = [struct.unpack_from(">I", head, 8 + 20 * n)[0] for n in range(count)]
        return "macOS", tuple(_MACH.get(kind, "another machine") for kind in kinds)
    return "", ()


def code_hash(binary: Path) -> str:
    """The SHA-256 of a plug-in's code."""
    with binary.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_bundle(plugin: Path) -> Path:
    contents = plugin / "Contents"
    folders = sorted(path.name for path in contents.iterdir() if path.is_dir()) if contents.is_dir() else []
    if not folders:
        raise _not(plugin, "is a folder that holds no plug-in")
    if sys.platform == "darwin":
        wanted = contents / "MacOS"
    else:
        system = "win" if sys.platform == "win32" else "linux"
        wanted = contents / f"{machine()}-{system}"
    inside = sorted(path for path in wanted.iterdir() if path.is_file()) if wanted.is_dir() else []
    named = [path for path in inside if path.stem == plugin.stem]
    if not inside:
        kinds = [name for name in folders if ("-" in name and name != wanted.name) or name == "MacOS"]
        held = f"only {', '.join(kinds)}" if kinds else "none at all"
        raise _not(plugin, f"has no code for {wanted.name}: it holds {held}")
    return (named or inside)[0]


def _not(plugin: Path, what: str) -> InputError:
    return InputError(f"{plugin} {what}", field="plugins", code="plugin")
