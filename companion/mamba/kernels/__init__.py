"""Compiled operators of the room: scan, convolution, norm, one bar."""
