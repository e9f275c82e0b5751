"""Songs into stems: the run, the files, and how far a stem is to be trusted."""
