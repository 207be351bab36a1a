"""A suite file, read strictly and turned into jobs with digests."""
