"""Measures each repair beside its baselines: damaged and clean material, unheard songs, unheard mechanisms.

    python scripts/benchmark_restoration.py TABLE --help

A table is a module of `scripts/restoration/` and prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

ROOM = "restoration"


def main() -> None:
    """Run the table that is asked for."""
    tables = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / ROOM)]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=tables)
    asked = parser.parse_args(sys.argv[1:2])
    module = importlib.import_module(f"{ROOM}.{asked.table}")
    of_table = argparse.ArgumentParser(prog=f"{parser.prog} {asked.table}", description=module.__doc__)
    module.add_arguments(of_table)
    module.main(of_table.parse_args(sys.argv[2:]))


if __name__ == "__main__":
    main()
