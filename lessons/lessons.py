"""Stands in for the package when a lesson is opened from its own folder, alone or as a notebook."""

from lesson import lesson

__all__ = ["lesson"]
