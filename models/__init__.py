"""The C1C2C3C4 grammar, its arithmetic, presets and the published networks."""
