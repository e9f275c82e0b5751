"""How many cores, bytes and bits a second a number of songs a day takes, by what one song takes here.

    python scripts/capacity.py SONG [--songs 1000000] [--peak 3] [--use 0.7] [--again 0.33]

SONG is checked as an upload is, mastered, and mastered again for another target, each in a process of its
own; CPU seconds are of all its threads and children, which the other work on a machine moves little. Files
are those that the service keeps. `--peak` is the busiest hour by the average one, `--use` the share of a core
that is planned to be used, `--again` how many of the songs are rendered a second time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import soundfile

DAY_S = 86_400
KEPT_UPLOAD_DAYS, KEPT_JOB_DAYS = 7, 30
PROGRAM = (
    "import sys, mixagent; song, out, target = sys.argv[1:]; "
    "mixagent.master(song, output=f'{out}/master.wav', report=[f'{out}/report.json', f'{out}/report.html'], "
    "overrides={'experience.remember': False}, separator='none', renders=1, target=float(target))"
)


def cpu_s(command: list[str], environment: dict[str, str]) -> float:
    """CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def measured(song: Path) -> dict[str, Any]:
    """What one song takes."""
    info = soundfile.info(str(song))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cache = folder / "cache"
        environment = {**os.environ, "MIXAGENT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        check = (
            "import sys; from pathlib import Path; from mixagent.service.worker import check_child as c; "
            "print(c.found(Path(sys.argv[1]), 'song.wav', Path(sys.argv[2]), 1800.0)['kind'])"
        )
        runs = [cpu_s([sys.executable, "-c", check, str(song), scratch], environment) for _ in range(3)]
        short = folder / "short.wav"
        audio, rate = soundfile.read(song, stop=5 * info.samplerate, always_2d=True)
        soundfile.write(short, audio, rate)
        # Kernels are compiled once a machine, and not once a song.
        subprocess.run([sys.executable, "-c", PROGRAM, short, scratch, "-14"], env=environment, check=True)
        before = size_of(cache)
        master = cpu_s([sys.executable, "-c", PROGRAM, str(song), scratch, "-14"], environment)
        stages = size_of(cache) - before
        again = cpu_s([sys.executable, "-c", PROGRAM, str(song), scratch, "-16"], environment)
        made = {name: (folder / name).stat().st_size for name in ("master.wav", "report.json", "report.html")}
    return {
        "song_s": round(info.duration, 1),
        "check_cpu_s": sorted(runs)[1],
        "master_cpu_s": master,
        "second_target_cpu_s": again,
        "upload_mb": round(song.stat().st_size / 1e6, 1),
        "master_mb": round(made["master.wav"] / 1e6, 1),
        "reports_mb": round((made["report.json"] + made["report.html"]) / 1e6, 2),
        "stages_mb": round(stages / 1e6, 1),
    }


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def needed(one: dict[str, Any], songs: float, peak: float, use: float, again: float) -> dict[str, Any]:
    """What so many songs a day take."""
    work_s = one["check_cpu_s"] + one["master_cpu_s"] + again * one["second_target_cpu_s"]
    cores = work_s * songs / DAY_S / use
    kept_mb = one["master_mb"] + one["reports_mb"]
    return {
        "songs_a_second": round(songs / DAY_S, 1),
        "songs_a_second_at_the_peak": round(peak * songs / DAY_S, 1),
        "cpu_s_a_song": round(work_s, 2),
        "cores": round(cores),
        "cores_at_the_peak": round(peak * cores),
        "uploads_tb": round(one["upload_mb"] * songs * KEPT_UPLOAD_DAYS / 1e6),
        "results_tb": round(kept_mb * songs * KEPT_JOB_DAYS / 1e6),
        "in_gbit_s": round(one["upload_mb"] * 8e6 * songs / DAY_S / 1e9, 1),
        "out_gbit_s_heard_and_downloaded_once": round(2 * kept_mb * 8e6 * songs / DAY_S / 1e9, 1),
    }


def main() -> None:
    """Measure one song, and print what many take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--songs", type=float, default=1e6)
    parser.add_argument("--peak", type=float, default=3.0)
    parser.add_argument("--use", type=float, default=0.7)
    parser.add_argument("--again", type=float, default=0.33)
    given = parser.parse_args()
    one = measured(given.song)
    many = needed(one, given.songs, given.peak, given.use, given.again)
    print(json.dumps({"one_song": one, "many": many}, indent=2))


if __name__ == "__main__":
    main()
