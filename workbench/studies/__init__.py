"""Studies: a file of settings, axes, seeds and orders becomes cells; each cell is a run. Engines train them, here or on a cluster."""
