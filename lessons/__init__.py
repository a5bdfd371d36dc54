"""The lessons: `python -m lessons` runs them, `from lessons import lesson` is their way to speak."""

from lessons.lesson import lesson

__all__ = ["lesson"]
