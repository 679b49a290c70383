"""A worker of the local engine: `python -m workbench.studies.worker` reads a job a line on standard input and tells news a line on standard output.

It lives in a process group of its own, so that Ctrl-C reaches it once, through the engine. Where the engine is gone it stops as by hand.
"""

from __future__ import annotations

import os
import signal
import sys

from workbench.studies.jobs import Job, News, work


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to the log, not among the news
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def tell(news: News) -> None:
        try:
            out.write(news.model_dump_json() + "\n")
            out.flush()
        except BrokenPipeError:
            raise KeyboardInterrupt from None

    try:
        for line in sys.stdin:
            work(Job.model_validate_json(line), tell)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
