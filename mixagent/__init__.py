"""mixagent: automatic mixing and mastering, with an account of what was done."""

__version__ = "0.1.0"
