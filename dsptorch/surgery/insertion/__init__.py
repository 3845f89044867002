"""Insert layers between the modules of a model, and remove them."""
