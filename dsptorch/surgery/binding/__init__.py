"""Hyperparameters in the place of plain numbers."""
