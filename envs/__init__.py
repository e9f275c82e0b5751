"""What policies learn from: damage with a known original."""
