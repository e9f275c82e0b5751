"""Hydra configuration groups, read as package data."""
