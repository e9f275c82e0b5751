"""A musician's own tracks: their names, sound, alignment and places; and versions of one song."""
