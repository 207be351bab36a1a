"""Text-to-image teachers in the latents of an autoencoder: what their families share."""
