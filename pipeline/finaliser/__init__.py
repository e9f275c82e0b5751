"""From a mixed song to one at its loudness, under its ceiling: targets, prediction, loop, lossy codecs."""
