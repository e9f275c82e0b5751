"""The conductor: agents that hear renders, move the chain's parameters and keep what measures better."""
