"""The kernels themselves: what imports triton, on first use."""
