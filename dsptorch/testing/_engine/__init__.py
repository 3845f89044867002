"""The machinery of the checks: run a model, perturb its input, and locate the module that leaks."""
