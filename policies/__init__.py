"""What decides the settings for a song: every policy behind one interface."""
