"""From a name or a path to a `Dataset`: download, archives, decoding, cache, splits."""
