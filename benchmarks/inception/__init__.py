"""Inception-2015: the network behind FID, KID and the Inception Score, and the resizes that tell its families apart."""
