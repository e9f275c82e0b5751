"""What is no plug-in, or none for this system, is told in one line before any of it is run."""

import struct
import sys

import pytest

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.plugins.binaries import binary_of, machine, made_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bundles are Linux's")


def elf(kind: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, kind) + bytes(44)


def pe(kind: int) -> bytes:
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", kind)


def bundle(folder, inside, content, name="Toy"):
    place = folder / f"{name}.vst3" / "Contents" / inside
    place.mkdir(parents=True)
    (place / f"{name}.so").write_bytes(content)
    return folder / f"{name}.vst3"


def told(plugin):
    with pytest.raises(InputError) as raised:
        binary_of(plugin)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_plugin_for_this_machine_is_found(tmp_path):
    kind = {"x86_64": 62, "aarch64": 183}[machine()]
    found = binary_of(bundle(tmp_path, f"{machine()}-linux", elf(kind)))
    assert found.name == "Toy.so"


def test_code_of_32_bits_is_told(tmp_path):
    assert "is for 32-bit x86, and this is" in told(bundle(tmp_path, f"{machine()}-linux", elf(3)))


def test_a_bundle_for_another_system_is_told(tmp_path):
    assert "it holds only x86_64-win" in told(bundle(tmp_path, "x86_64-win", pe(0x8664)))


def test_windows_code_under_a_linux_name_is_told(tmp_path):
    assert "is for Windows, and this is Linux" in told(bundle(tmp_path, f"{machine()}-linux", pe(0x14C)))


def test_a_folder_that_is_no_plugin_is_told(tmp_path):
    (tmp_path / "Toy.vst3").mkdir()
    assert "is a folder that holds no plug-in" in told(tmp_path / "Toy.vst3")


def test_a_file_that_is_no_code_is_told(tmp_path):
    (tmp_path / "Toy.vst3").write_bytes(b"RIFF")
    assert "is no code" in told(tmp_path / "Toy.vst3")


def test_a_missing_file_and_another_suffix_are_told(tmp_path):
    assert "is not there" in told(tmp_path / "Toy.vst3")
    assert "is no plug-in" in told(tmp_path / "Toy.dll")


@pytest.mark.parametrize(
    ("head", "system", "machines"),
    [
        (elf(40), "Linux", ("32-bit ARM",)),
        (pe(0xAA64), "Windows", ("aarch64",)),
        (b"\xcf\xfa\xed\xfe" + struct.pack("<I", 0x0100000C), "macOS", ("aarch64",)),
        (
            b"\xca\xfe\xba\xbe" + struct.pack(">I", 2) + struct.pack(">5I", 0x01000007, 0, 0, 0, 0)
            + struct.pack(">5I", 0x0100000C, 0, 0, 0, 0),
            "macOS",
            ("x86_64", "aarch64"),
        ),
        (b"", "", ()),
        (b"MZ" + bytes(4), "", ()),
        (b"\xca\xfe\xba\xbe\xff\xff\xff\xff" + bytes(500), "macOS", ("another machine",) * 16),
    ],
)  # fmt: skip
def test_the_first_bytes_say_what_code_is_for(head, system, machines):
    assert made_for(head) == (system, machines)
