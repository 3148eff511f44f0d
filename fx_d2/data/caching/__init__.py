"""Decode once: a folder of decoded images, shared by processes and runs."""
