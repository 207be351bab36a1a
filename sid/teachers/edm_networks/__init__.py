"""The EDM networks with the published parameter names. A package, so that discovery does not import torch."""
