"""How a diffusion model is distilled into a one- or few-step generator."""
