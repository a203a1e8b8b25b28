"""From a `Graph` to an `Analysis`: rows, counts, structure, and the verdict against a budget."""
