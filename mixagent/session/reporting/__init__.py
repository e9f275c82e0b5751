"""The report of a run, put together from its results."""
