"""Repairs that run only where their defect is, and leave clean material as it is."""
