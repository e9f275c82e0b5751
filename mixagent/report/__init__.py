"""The report of a run and its views: one page with an A/B player, and a summary for the terminal."""
