"""Models that run in chunks: the states of their layers, kept, saved and restored."""
