"""The parts of recipes/voice_bits.py."""
