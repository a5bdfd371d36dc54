"""The table of plain and residual nets."""
