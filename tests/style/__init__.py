"""CleanStyle: closed forms, and adapters on tiny pipelines of the real classes."""
