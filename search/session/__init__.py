"""One session of a search, stage by stage: trials, finalists, winner."""
