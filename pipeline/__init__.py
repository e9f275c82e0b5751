"""Every stage from file to master, and the graph that runs them."""
