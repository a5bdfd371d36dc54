"""The papers' tables, row by row, from raw data: `python -m lessons.tables graph --data DIR`."""
