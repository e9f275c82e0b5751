"""Where compiled kernels are kept: beside the code, or with the cache where the code may not be written to.

numba looks for the place when it is loaded, and without one nothing can be compiled. So this is settled
before anything of the pipeline is imported, and without loading numba.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def settle_kernel_folder() -> None:
    """Name a folder in `NUMBA_CACHE_DIR` where none is named and the code's own may not be written to."""
    if os.environ.get(_VARIABLE) or _is_writable_install():
        return
    # Loaded here: where the install is writable, as most are, they are not needed this early.
    from mixagent.pipeline.errors import UsageError
    from mixagent.pipeline.folders import cache_folder, can_be_made, temporary_folder

    folder = temporary_folder() / "kernels"
    with suppress(UsageError):
        beside_results = cache_folder() / "kernels"
        folder = beside_results if can_be_made(beside_results) else folder
    os.environ[_VARIABLE] = str(folder)
    if "numba" in sys.modules:
        import numba

        setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010 - made of the variables when it is loaded


def _is_writable_install() -> bool:
    """True if each folder of the code takes what is compiled of it."""
    folders = [file.parent for file in Path(__file__).parents[1].glob("*/*/__init__.py")]
    compiled = [folder / "__pycache__" for folder in folders]
    return all(
        os.access(inside if inside.is_dir() else folder, os.W_OK | os.X_OK)
        for folder, inside in zip(folders, compiled, strict=True)
    )
