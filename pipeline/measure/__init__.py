"""Measures of a song: loudness, spectrum, features, artefacts, highs, and its loss on small speakers."""
