"""What this project fitted or trained, each with a card."""
