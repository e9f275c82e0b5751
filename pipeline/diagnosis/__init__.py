"""What is wrong with a song: the five pathologies, defects, and the statistics that they are held against."""
