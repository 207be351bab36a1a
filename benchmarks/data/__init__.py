"""Data sets, image-caption pairs and prompt lists."""
