"""This machine and its scheduler: needs, doctor, lease, launch, Snakemake."""
