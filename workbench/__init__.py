"""A workbench for continual learning of language models with energy-based replay (LSEBMCL, arXiv 2501.05495)."""

__version__ = "0.1.0"
