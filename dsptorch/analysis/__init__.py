"""Pictures of what layers do and how hyperparameters learn; they need matplotlib."""

from dsptorch.analysis.history import plot_history

__all__ = ["plot_history"]
