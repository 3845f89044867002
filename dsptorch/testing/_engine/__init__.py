"""The machinery of the checks: run a model, perturb its input, find the module to blame."""
