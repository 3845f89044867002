"""What the documentation's build adds to Sphinx, and the checks of what it built."""
