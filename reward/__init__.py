"""The reward: judges how good a render is."""
