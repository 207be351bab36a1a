"""CLIP towers: the network through open_clip, its own preprocessing in batches, captions with truncation counted."""
