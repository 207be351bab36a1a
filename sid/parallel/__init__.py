"""How a training is executed: processes, precision, sharding."""
