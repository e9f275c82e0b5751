"""The agents: each answers for a few figures of a render and moves the parameters that change them."""
