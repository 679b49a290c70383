"""The energies and what moves in them: latent energy, encoder, Langevin chains, answer energy, diagnostics."""
