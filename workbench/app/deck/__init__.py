"""The rating deck: a plan (what is shown, in which order) and a browser component that never waits for the server."""
