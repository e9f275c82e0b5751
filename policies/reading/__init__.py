"""The net that reads a song: bands over time in, moves of the graphic equaliser out."""
