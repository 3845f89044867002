"""What the checks are made of: run a model, perturb its input, find the module to blame."""
