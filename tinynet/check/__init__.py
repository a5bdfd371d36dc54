"""The checker: is a backward the derivative of its forward, and if not, what kind of mistake is it?"""

from tinynet.check.diagnosis import KINDS
from tinynet.check.gradient import gradcheck
from tinynet.check.report import GradientError, Report

__all__ = ["KINDS", "GradientError", "Report", "gradcheck"]
