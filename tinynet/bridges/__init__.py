"""Bridges to other people's files and arrays."""
