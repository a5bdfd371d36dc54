"""Exercises: stubs made from the blocks, a sandbox for what students hand in, and a grader.

The student's process computes; ours compares.  No right answer is ever in the student's process.

    described  a block in words         stubs, variants, sheets, handout   what students get
    submission what students hand in    child, frames, sandbox, remote     the student's process, and how to ask it
    student    the command `check`      forms, words                       what is agreed on, and how it is told
    grader     the command `grade`      marking, results                   how points are shared, and their files
    packages   for other programs       notebook                           what test cells of notebooks call
"""
