"""Versions of a song side by side."""
