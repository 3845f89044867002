"""Run models in chunks: keep, save and restore the states of their layers."""
