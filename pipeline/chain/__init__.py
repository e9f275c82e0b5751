"""The parameters, and the mixing and mastering chain that they set."""
