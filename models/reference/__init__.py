"""Published networks as plain modules, layer for layer as their published tables list them."""
