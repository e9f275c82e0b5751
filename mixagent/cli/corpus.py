"""`mixagent corpus`: index songs, list them, check them, and build the cases that training needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from mixagent.cli.common import choice, command, print_json, print_lines, print_text
from mixagent.cli.flags import AsJson, Printing
from mixagent.messages import say
from mixagent.pipeline.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from mixagent.envs.corpus import Corpus, Song

SCHEMA = "mixagent.corpus/1"
_KEPT = "what was done is kept: the same command goes on from there"

Directory = Annotated[
    Path | None,
    typer.Option(
        "--corpus", help="Folder of the corpus.", show_default="MIXAGENT_CORPUS or the user's data folder"
    ),
]
Splits = Annotated[str | None, typer.Option("--split", help="train, validation or test.", show_default="all")]


@command(interrupted=_KEPT)
def add(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of songs, or of songs in stems (a folder each).", show_default=False),
    ],
    corpus: Directory = None,
    split: Annotated[
        str | None,
        typer.Option(help="Put all of them into train, validation or test.", show_default="by artist"),
    ] = None,
    shortest: Annotated[
        float, typer.Option(min=0.4, help="Skip what is shorter than this many seconds.")
    ] = 30.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that measure.")] = 1,
    *,
    printing: Printing,
) -> int:
    """Measure the songs in folders and index them; nothing is copied or moved."""
    from mixagent.cli.progress import shown_progress
    from mixagent.envs.corpus import SPLITS, Corpus

    forced = choice("split", split, SPLITS) if split else None
    before = {song.path for song in Corpus.open(corpus).rows}
    with shown_progress(printing.quiet) as progress:
        found = Corpus.open(corpus).add(
            folders, forced, shortest_s=shortest, workers=workers, progress=progress
        )
    if not found.rows:
        raise InputError(f"no audio file in {', '.join(map(str, folders))}: name a folder of songs")
    skipped = [song for song in found.skipped() if song.path not in before]
    if printing.as_json:
        print_json({**_overview(found), "skipped": [_skip(song) for song in skipped]})
        return EXIT_DONE
    for song in skipped:
        say(f"skipped {song.path}: {song.skipped}")
    print_text(_summary(found))
    return EXIT_DONE


@command()
def list_songs(
    corpus: Directory = None,
    split: Splits = None,
    fit: Annotated[
        str | None, typer.Option(help="clean truth, rough input or stems.", show_default="all")
    ] = None,
    skipped: Annotated[bool, typer.Option("--skipped", help="Those that are not used, and why.")] = False,
    as_json: AsJson = False,
) -> int:
    """List the songs with what was measured and what each is fit for."""
    from mixagent.envs.corpus import FITS, SPLITS, Corpus

    opened = Corpus.open(corpus)
    chosen_split = choice("split", split, SPLITS) if split else None
    chosen_fit = choice("fit", fit, FITS) if fit else None
    if skipped:
        songs = [song for song in opened.skipped() if chosen_split in (None, song.split)]
    else:
        songs = opened.songs(chosen_split, chosen_fit)
    if as_json:
        print_json({**_overview(opened), "songs": [_row(song) for song in songs]})
    elif skipped:
        print_lines(f"{song.path}: {song.skipped}" for song in songs)
    else:
        print_text(_table(songs))
        print_text(_summary(opened))
    return EXIT_DONE


@command(interrupted=_KEPT)
def build(
    corpus: Directory = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="Folder of the cases.", show_default="the folder `cases` in the corpus"),
    ] = None,
    split: Splits = None,
    config: Annotated[str, typer.Option(help="default or debug: a file of conf/corpus.")] = "default",
    count: Annotated[
        int | None, typer.Option(min=1, help="Cases of each split.", show_default="as configured")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of segments and damage.", show_default="as configured")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="as configured")
    ] = None,
    disk_gb: Annotated[
        float | None,
        typer.Option("--disk-gb", help="Most that the cases may take.", show_default="as configured"),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value of conf/corpus, e.g. seconds=3."),
    ] = None,
    *,
    printing: Printing,
) -> int:
    """Cut, damage, separate and measure segments of the songs, so that training need not."""
    from mixagent.cli.progress import shown_progress
    from mixagent.envs.case_building import build_cases
    from mixagent.envs.cases import CaseStore
    from mixagent.envs.corpus import SPLITS, Corpus
    from mixagent.learning.corpus_settings import load_corpus_config

    given = {"seed": seed, "workers": workers, "disk_gb": disk_gb}
    given |= {f"cases.{one}": count for one in SPLITS}
    options = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = load_corpus_config(
        choice("config", config, ("default", "debug")), [*(overrides or []), *options]
    )
    opened = Corpus.open(corpus)
    store = CaseStore(cases or opened.directory / "cases")
    filled = tuple(one for one in SPLITS if opened.songs(one, "clean truth")) or SPLITS[:1]
    splits = (choice("split", split, SPLITS),) if split else filled
    with shown_progress(printing.quiet) as progress:
        for one in splits:
            build_cases(
                store,
                opened,
                one,
                settings.cases[one],
                settings.seed,
                settings.workers,
                settings.disk_gb,
                partial(progress, one),
                seconds=settings.seconds,
                stems_share=settings.stems_share,
                separator=settings.separator,
                rough_share=settings.rough_share,
                disorder_share=settings.disorder_share,
                heard_s=settings.heard_s,
            )
    counts = {one: len(store.names(one)) for one in SPLITS}
    if printing.as_json:
        print_json({"schema": SCHEMA, "cases": str(store.directory), "counts": counts})
    else:
        print_text(f"{store.directory}: {', '.join(f'{n} {one}' for one, n in counts.items())}")
    return EXIT_DONE


@command()
def check(corpus: Directory = None, *, printing: Printing) -> int:
    """Say which songs are gone or have changed since they were indexed; exit code 3 if any."""
    from mixagent.cli.progress import shown_progress
    from mixagent.envs.corpus import Corpus

    opened = Corpus.open(corpus)
    with shown_progress(printing.quiet) as progress:
        problems = opened.check(progress)
    if printing.as_json:
        print_json({**_overview(opened), "problems": problems})
    else:
        print_lines([*problems, _summary(opened)])
    return InputError.exit_code if problems else EXIT_DONE


def _overview(corpus: Corpus) -> dict[str, Any]:
    songs = corpus.songs()
    return {
        "schema": SCHEMA,
        "directory": str(corpus.directory),
        "hours": round(sum(song.duration_s for song in songs) / 3600, 3),
        "splits": dict(Counter(song.split for song in songs)),
        "fit": dict(Counter(fit for song in songs for fit in song.fit)),
        "skipped_songs": len(corpus.skipped()),
    }


def _summary(corpus: Corpus) -> str:
    found = _overview(corpus)
    songs = sum(found["splits"].values())
    parts = [f"{songs} {'song' if songs == 1 else 'songs'}, {found['hours']:.1f} h"]
    parts += [", ".join(f"{n} {name}" for name, n in found[key].items()) for key in ("splits", "fit")]
    parts += [f"{found['skipped_songs']} skipped (`corpus list --skipped`)"] * bool(found["skipped_songs"])
    return f"{found['directory']}: {'; '.join(part for part in parts if part)}"


def _row(song: Song) -> dict[str, Any]:
    return {key: value for key, value in song.to_json().items() if key != "acoustic"}


def _skip(song: Song) -> dict[str, str]:
    return {"path": str(song.path), "reason": song.skipped}


def _table(songs: Sequence[Song]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("song", "artist", "split", "fit for"):
        table.add_column(heading, overflow="fold")
    for heading in ("min:s", "kHz", "LUFS", "dBTP", "clipped"):
        table.add_column(heading, justify="right", no_wrap=True)
    for song in songs:
        table.add_row(
            song.id,
            song.artist,
            song.split,
            ", ".join(song.fit),
            f"{int(song.duration_s) // 60}:{int(song.duration_s) % 60:02}",
            f"{song.bandwidth_hz / 1000:.1f}",
            f"{song.integrated_lufs:.1f}",
            f"{song.true_peak_dbtp:.1f}",
            str(song.clipped_runs),
        )
    return table
