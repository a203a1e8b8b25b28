"""Pages: the report of a run, the receptive-field explorer, the comparison."""
