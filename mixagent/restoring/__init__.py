"""The repairs alone: the run, its report, and the table of what there is."""
