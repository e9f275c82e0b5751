"""What a person is shown after a master: one page with an A/B player, and a summary for the terminal."""
