"""People: their passwords, their sessions, who they are elsewhere, and what was put down of what they did."""
