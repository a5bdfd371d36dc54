"""The checker: is a backward the derivative of its forward, and if not, what kind of mistake is it?"""

from tinynet.check.diagnosis import KINDS
from tinynet.check.gradient import GradientError, Report, gradcheck

__all__ = ["KINDS", "GradientError", "Report", "gradcheck"]
