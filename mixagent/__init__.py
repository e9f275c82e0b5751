"""mixagent: automatic mixing and mastering, with an account of what was done."""

__version__ = "0.1.0"

from pathlib import Path as _Path

# In a checkout without symbolic links, as on Windows, these folders lie beside this one and not in it.
if (_Path(__file__).parent / "pipeline").is_file():
    __path__.append(str(_Path(__file__).parents[1]))
