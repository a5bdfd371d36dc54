"""Rules that weigh the losses of several tasks: losses and gradients in, one weight a task out.  One rule a file."""
