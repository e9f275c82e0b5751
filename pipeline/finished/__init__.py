"""Finished music as a band: what songs measure, what finished ones measure, and what lies outside."""
