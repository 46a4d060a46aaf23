"""Compiled loops of the room, and the random numbers they draw."""
