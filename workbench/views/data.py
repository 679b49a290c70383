"""The stream that a run learnt from, where it is at hand on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from workbench.tasks import Stream, TaskError, load_stream
from workbench.tasks.bundled import STREAMS


def stream_of(config: Mapping[str, Any]) -> tuple[Stream | None, str]:
    """The stream of a run by its plain config, or None and why not, in a sentence.

    Never goes to the network and never opens a path the run names: bundled streams are read from the repository, others from the
    folder in WORKBENCH_DATA.
    """
    return _stream(str(config.get("stream", "")), os.environ.get("WORKBENCH_DATA"))


@lru_cache(maxsize=4)
def _stream(spec: str, folder: str | None) -> tuple[Stream | None, str]:
    if spec.startswith("hub:"):
        return None, "The real examples of a hub stream are not stored with the run, so nothing is compared with them."
    if spec.partition(":")[0] not in STREAMS and not folder:
        return None, "Set WORKBENCH_DATA to the folder of the published files to see the real examples beside the run's texts."
    try:
        return load_stream(spec, folder), ""
    except (TaskError, OSError, ValueError) as error:
        return None, f"The real examples could not be read: {error}"
