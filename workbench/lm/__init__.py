"""The language model: loading, tokens, sequences, latent conditioning, generation, pretraining of the bundled one."""
