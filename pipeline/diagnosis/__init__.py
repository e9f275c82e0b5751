"""Diagnoses a song: the five pathologies, defects, and the statistics that they are compared with."""
