"""Exercises: stubs made from the blocks, a sandbox for what students hand in, and a grader.

The student's process computes; ours compares.  No right answer is ever in the student's process.
"""
