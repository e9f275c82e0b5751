"""References: what a master is brought towards, and how.

A reference is a profile (`profile`): what one song measures, or many. A song is matched to it in tone and
width by a curve over mid and side (`curve`), in dynamics by settings of the chain (`dynamics`), in loudness
by the finaliser's target; or matchering does tone, width and level (`matched`).
"""
