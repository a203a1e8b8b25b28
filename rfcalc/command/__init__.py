"""The command `python -m rfcalc`: flags, loading of the target, and where the output goes."""
