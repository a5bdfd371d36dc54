"""tinynet beside what a user would pick instead: the same work, the same inputs, one run, interleaved."""
