"""What a song measures: loudness, spectrum, features, artefacts, highs, and what speakers leave of it."""
