"""Systems that are not here: the program without what only POSIX has, and a checkout without links."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from songs import write_song

ROOT = Path(__file__).parent.parent

WITHOUT_POSIX = """
import os, signal, sys
for module in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[module] = None
for name in ("ALRM", "CHLD", "HUP", "KILL", "PIPE", "QUIT", "USR1", "USR2", "WINCH"):
    if hasattr(signal, f"SIG{name}"):
        delattr(signal, f"SIG{name}")
for name in ("setitimer", "alarm", "pthread_kill", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in ("fork", "getpgid", "killpg", "mkfifo", "nice", "setsid", "sched_getaffinity", "sysconf"):
    if hasattr(os, name):
        delattr(os, name)
"""


@pytest.fixture
def run(tmp_path):
    def run(*arguments, path=ROOT, **more):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(path)])}
        return subprocess.run(
            [sys.executable, "-m", "mixagent", *map(str, arguments)],
            env={**environment, "MIXAGENT_CACHE": str(tmp_path / "cache"), **more},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )

    (tmp_path / "site").mkdir()
    return run


@pytest.fixture
def without_posix(tmp_path, run):
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_POSIX)
    return run


def test_the_simulation_takes_them_away(tmp_path, without_posix):
    code = "import signal\ntry:\n    import fcntl\nexcept ImportError:\n    print(hasattr(signal, 'SIGHUP'))"
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert said == "False\n"


def test_help_analyze_and_master_run_without_what_only_posix_has(tmp_path, without_posix):
    song = write_song(tmp_path / "song.wav")
    helped = without_posix("--help")
    assert (helped.returncode, "master" in helped.stdout) == (0, True)
    analysed = without_posix("analyze", song, "--json")
    assert analysed.returncode == 0, analysed.stderr
    assert json.loads(analysed.stdout)["schema"].startswith("mixagent.analysis/")
    for _ in range(2):
        mastered = without_posix("master", song, "-o", tmp_path / "m.wav", "--json")
        assert mastered.returncode == 0, mastered.stderr
    assert (tmp_path / "m.wav").stat().st_size > 0
    assert not list(tmp_path.glob(".mixagent-*"))


@pytest.mark.slow
def test_a_checkout_whose_links_are_text_files_runs(tmp_path, run):
    """As git makes it on Windows: each link is a file that holds where it leads."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    leave = shutil.ignore_patterns("__pycache__")
    links = [path for path in (ROOT / "mixagent").iterdir() if path.is_symlink()]
    for link in links:
        shutil.copytree(link, checkout / link.name, ignore=leave)
    shutil.copytree(ROOT / "mixagent", checkout / "mixagent", symlinks=True, ignore=leave)
    for link in links:
        (checkout / "mixagent" / link.name).unlink()
        (checkout / "mixagent" / link.name).write_text(f"../{link.name}")
    song = write_song(tmp_path / "song.wav")
    analysed = run("analyze", song, "--json", path=checkout)
    assert analysed.returncode == 0, analysed.stderr
    assert json.loads(analysed.stdout)["schema"].startswith("mixagent.analysis/")
