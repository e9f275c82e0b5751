"""From a request to a master: analyse, decide, render, feedback, export."""
