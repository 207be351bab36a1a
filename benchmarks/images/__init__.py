"""Images as files: reading, archives, geometry and writing."""
