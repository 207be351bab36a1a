"""One file is one other implementation, called through its own public functions and guarded."""
