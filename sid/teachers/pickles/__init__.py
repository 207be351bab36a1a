"""Published .pkl and .pt files, read without running any code in them."""
