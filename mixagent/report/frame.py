"""The pages: templates filled into one HTML file that needs nothing else, no network, no fonts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from mixagent.pipeline.files import write_atomically
from mixagent.pipeline.finished.findings import FOUND
from mixagent.report import charts, words
from mixagent.report.goals import how_much


@cache
def template(name: str) -> jinja2.Template:
    """A page's template by file name; it extends `frame.html`.

    It takes the `report` that the page is about, and as `data` its JSON for the scripts; `kind` and `title`;
    the `player`, or None; and `scripts`, file names beside the templates.
    """
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("mixagent.report", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=words.number,
        clock=words.clock,
        how_much=how_much,
        place=words.place_label,
        percent=words.percent,
        memory=words.memory_words,
    )
    environment.globals.update(FOUND=FOUND, source=_source, band_percent=charts.band_percent)
    return environment


def _source(name: str) -> Markup:
    """A stylesheet or a script as it stands beside the templates."""
    return Markup((Path(__file__).parent / name).read_text("utf-8"))


def write_whole(path: Path, text: str) -> None:
    """Write a page whole or not at all.

    Raises:
        OutputError: the disk is full or refuses the file.
    """
    write_atomically(path, text, through_link=True)
