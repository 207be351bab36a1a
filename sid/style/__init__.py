"""Style references without their content: CleanStyle (Feng et al., arXiv 2602.20721), acting on IP-Adapters."""
