"""Training, evaluation, and what is remembered of mastered songs."""
