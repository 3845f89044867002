"""The parts of recipes/spoken_syllables.py."""
