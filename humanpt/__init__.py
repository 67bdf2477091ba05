"""humanpt: self-supervised pre-training on people by completion across views and poses."""

__version__ = "0.1.0"
