"""Images in, scores out: one engine for runs and for the command line."""
