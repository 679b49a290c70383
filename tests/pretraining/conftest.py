"""The tiny model folder of the tests of the language model."""

from tests.lm.conftest import tiny, tiny_folder

__all__ = ["tiny", "tiny_folder"]
