"""The EDM networks under the published parameter names. A package, so that discovery does not import torch."""
