"""The terms of the reward, one small class each.

A term says how much better or worse the render is than its input: 0 is as the input, positive is
better. Every term is bounded by `low` and `high`, and NaN where it has no opinion (no truth, no
vocals).
"""
