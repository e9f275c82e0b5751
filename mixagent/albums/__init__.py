"""An album mastered as one: its run, the order of its songs, cue sheets, and its manifest."""
