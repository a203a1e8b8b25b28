"""Where trainings run: the executor, its workers, and what crosses the line between them."""
