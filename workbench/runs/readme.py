"""README.txt of a run folder: what is in it, for somebody without this program."""

README = """\
A run of the LSEBMCL workbench. Nothing in it needs that program to be opened.
run.json, summary.json       what was run and how it ended; config.yaml holds every setting; `rows` counts the rows of each table,
                             `incomplete` says what the disk refused
events.jsonl, log.txt        what happened when; one JSON object a line
NAME.parquet                 a table of a finished run:  pandas.read_parquet("metrics.parquet")
NAME/seg-*.arrows            the same while it runs:     pyarrow.ipc.open_stream(FILE).read_all()
                             (several: read in order; of rows with the same `row`, the first counts)
  eval                       kind (generated: the model answered; teacher_forced: it read on), eval_task, score (0 to 100)
  predictions                uid (which example), prediction (what the model answered), score (0 to 1)
  references                 not here: workbench.tasks.load_stream(stream), `stream` of run.json, gives tasks whose train, validation
                             and test hold examples with uid, context, question, answers
                             (bundled streams without the program: data/streams/STREAM/TASK.jsonl, [context, question, answers, ...]
                             a line: all of train, then validation, then test, as many as manifest.json counts; the uid is
                             TASK-SPLIT-NUMBER, numbered from 0 in each split)
chains latents weights       safetensors.numpy.load_file(FILE); safetensors.safe_open(FILE, "np").metadata()
ratings/NAME.jsonl           what a person judged, one JSON object a line
manifest.jsonl               SHA-256 of every finished file; `workbench check RUN` compares
state/                       what `workbench resume RUN` needs; may be deleted once the run is finished
"""
