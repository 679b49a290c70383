"""The generated language of the bundled streams: one small world of people, places and things, one file a task style."""
