"""How good a render is."""
