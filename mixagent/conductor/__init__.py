"""The conductor: agents that listen to a render, move the chain's parameters and keep what measures better."""
