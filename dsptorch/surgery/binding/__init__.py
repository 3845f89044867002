"""Hyperparameters in place of plain numbers."""
