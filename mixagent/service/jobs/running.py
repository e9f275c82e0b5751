"""Each kind of job as one call of the library, in the folder of the job, which is the current one.

Paths are relative to it, so that no report names a folder of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mixagent
from mixagent.manifests import write_json
from mixagent.types import Cancel, OnEvent

if TYPE_CHECKING:
    from mixagent.results import Finding

OUT = Path("out")
"""Folder of what a job makes, in its own."""

REPORT, PAGE, EXPERIENCE = "report.json", "report.html", "experience.bin"

_NOT_REMEMBERED = {"experience.remember": False}
"""What one user's songs teach is not for the next one."""

_KEPT_ASIDE = {**_NOT_REMEMBERED, "experience.file": f"{OUT}/{EXPERIENCE}"}
"""Measures and settings of a master stay with its job, and are learnt from only when its user rates it."""


@dataclass(frozen=True)
class Call:
    """How the library is called.

    Attributes:
        songs: paths in the job's folder.
        keywords: of the library's function.
        write_stems: whether a master's stems are files too.
        format: of the repaired song.
    """

    songs: tuple[str, ...]
    keywords: Mapping[str, Any]
    write_stems: bool = False
    format: str = "wav"


@dataclass(frozen=True)
class Made:
    """A file that a job made, in `OUT`."""

    path: Path
    role: str
    stem: str | None = None


@dataclass(frozen=True)
class Ran:
    """What came of a job: `result` is JSON, as the API gives it."""

    result: Mapping[str, Any]
    files: Sequence[Made] = field(default_factory=tuple)


OnRan = Callable[[Ran], None]
"""Told of what there is already, while the rest is still made."""

Run = Callable[[Call, OnEvent, OnRan, Cancel], Ran]


def run_master(call: Call, on_event: OnEvent, on_ran: OnRan, cancel: Cancel) -> Ran:
    """A master with its reports."""
    from mixagent.options import with_outputs

    song = call.songs[0] if call.songs else None
    keywords = dict(call.keywords)
    if not keywords.get("dry_run"):
        named = with_outputs(song, keywords).get("output")  # type: ignore[arg-type]
        paths = [named] if isinstance(named, str | Path) else named or []
        keywords |= {
            "output": [OUT / Path(path).name for path in paths],
            "format": None,
            "report": [OUT / REPORT, OUT / PAGE],
            "stems": OUT / "stems" if call.write_stems else None,
        }
    keywords["overrides"] = {**keywords.get("overrides", {}), **_KEPT_ASIDE}
    made = mixagent.master(
        song, on_event=on_event, on_master=lambda made: on_ran(_mastered(made)), cancel=cancel, **keywords
    )
    if made.report.dry_run:
        write_json(made.to_dict(), OUT / REPORT)
    return _mastered(made)


def _mastered(made: mixagent.MasterResult) -> Ran:
    masters = [Made(file.path, "master") for file in made.outputs]
    stems = [Made(path, "stem", _stem_of(path)) for path in sorted((OUT / "stems").glob("*"))]
    summary = made.report.summary
    result = {
        "model_name": _names(row.name for row in made.report.models),
        "warnings": list(made.warnings),
        "met": made.met,
        "missed": made.missed,
        "summary": list(summary.wrong),
        "left": [*summary.left, *summary.new],
        "done": list(summary.done),
        "before": asdict(made.before),
        "after": None if made.report.dry_run else asdict(made.after),
        "findings": _findings(made.findings),
        "stages": dict(made.timings),
    }
    return Ran(result, [*masters, *stems, *_reports()])


def run_analyze(call: Call, on_event: OnEvent, _on_ran: OnRan, cancel: Cancel) -> Ran:
    """Measures and findings."""
    found = mixagent.analyze(call.songs[0], on_event=on_event, cancel=cancel, **call.keywords)
    write_json(found.to_dict(), OUT / REPORT)
    result = {
        "warnings": list(found.warnings),
        "before": asdict(found.levels),
        "findings": _findings(found.findings),
        "summary": [finding.sentence for finding in found.findings],
    }
    return Ran(result, _reports())


def run_restore(call: Call, on_event: OnEvent, _on_ran: OnRan, cancel: Cancel) -> Ran:
    """The repairs alone, with their reports."""
    song, keywords = Path(call.songs[0]), dict(call.keywords)
    output = None
    if not keywords.get("dry_run"):
        output = OUT / f"{song.stem}.restored.{call.format}"
        keywords["report"] = [OUT / REPORT, OUT / PAGE]
    made = mixagent.restore(song, output, on_event=on_event, cancel=cancel, **keywords)
    if output is None:
        write_json(made.to_dict(), OUT / REPORT)
    result = {
        "model_name": _names(row.name for row in made.report.models),
        "warnings": list(made.warnings),
        "done": list(made.done),
        "changed": made.changed,
        "stages": {row.name: row.seconds for row in made.report.stages},
    }
    masters = [] if made.output is None else [Made(made.output.path, "master")]
    return Ran(result, [*masters, *_reports()])


def run_split(call: Call, on_event: OnEvent, _on_ran: OnRan, cancel: Cancel) -> Ran:
    """Stems."""
    return _split(mixagent.split, call, on_event, cancel)


def run_vocals(call: Call, on_event: OnEvent, _on_ran: OnRan, cancel: Cancel) -> Ran:
    """Vocals and instrumental."""
    return _split(mixagent.vocals, call, on_event, cancel)


def _split(
    function: Callable[..., mixagent.SplitResult], call: Call, on_event: OnEvent, cancel: Cancel
) -> Ran:
    made = function(*call.songs, output=OUT, on_event=on_event, cancel=cancel, **call.keywords)
    write_json(made.to_dict(), OUT / REPORT)
    (row,) = made.report.songs
    result = {
        "model_name": row.model.name,
        "device": row.device,
        "warnings": list(made.warnings),
        "confidences": {name: stem.confidence for name, stem in row.stems.items()},
    }
    stems = [Made(Path(path), "stem", name) for name, path in row.files.items()]
    return Ran(result, [*stems, *_reports()])


def run_album(call: Call, on_event: OnEvent, _on_ran: OnRan, cancel: Cancel) -> Ran:
    """An album's masters, its report and its page."""
    keywords = dict(call.keywords)
    keywords["overrides"] = {**keywords.get("overrides", {}), **_NOT_REMEMBERED}
    made = mixagent.album(*call.songs, output=OUT, on_event=on_event, cancel=cancel, **keywords)
    result = {
        "warnings": [*made.warnings, *(f"{path}: {reason}" for path, reason in made.failed.items())],
        "met": made.met,
        "missed": "; ".join(made.report.missed) or None,
        "done": [*made.report.summary.kept, *made.report.summary.changed],
    }
    masters = [Made(path, "master") for path in made.outputs]
    known = {"album.json": "report", "album.html": "page", "album.cue": "cue"}
    others = [Made(OUT / name, role) for name, role in known.items() if (OUT / name).exists()]
    return Ran(result, [*masters, *others])


def _reports() -> list[Made]:
    named = {REPORT: "report", PAGE: "page", EXPERIENCE: "experience"}
    return [Made(OUT / name, role) for name, role in named.items() if (OUT / name).exists()]


def _stem_of(path: Path) -> str:
    """The stem of a file that the library named, `song - 01 vocals.wav`."""
    return path.stem.rpartition(" - ")[2].partition(" ")[2]


def _names(names: Any) -> str | None:
    return ", ".join(dict.fromkeys(names)) or None


def _findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]
