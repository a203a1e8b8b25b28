"""What a run folder holds: frozen, versioned records, JSON both ways, written whole."""
