"""References and goals: what a master is to sound like.

A reference is a profile (`profile`): what one song measures, or many. It makes a band
(`pipeline.finished.chosen`) that a song is held against as against finished music; or matchering does tone,
width and level (`matched`). A goal in words (`goals`) moves settings.
"""
