"""From a model to a `Graph`: one forward pass, recorded op by op as data."""
