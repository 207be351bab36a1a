"""What score identity distillation is compared against: one file, one method."""
