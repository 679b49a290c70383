"""How the small bundled language model is made."""
