"""What a suite costs before it is run: hours, memory, disk."""
