"""The tiny model folder of the tests of the language model."""

from tests.lm.conftest import make_tiny, tiny, tiny_folder

__all__ = ["make_tiny", "tiny", "tiny_folder"]
