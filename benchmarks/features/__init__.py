"""Feature networks, and one pass of images through them."""
