"""Stages, the runner that orders them, and the cache that keeps what they made."""
