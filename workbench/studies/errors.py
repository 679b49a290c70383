"""What a study file or its runs lack, in one sentence."""


class StudyError(ValueError):
    """A study that cannot be read, begun or gone on with."""
