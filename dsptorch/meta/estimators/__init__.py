"""Estimators of the hypergradient, one a file, and the rules of the inner optimizer that they differentiate."""
