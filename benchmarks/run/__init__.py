"""What happens inside one job."""
