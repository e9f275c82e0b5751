"""The agent that mixes: what stems measure beside each other in, settings of their strips out."""
