"""Layers between the modules of a model, and out again."""
