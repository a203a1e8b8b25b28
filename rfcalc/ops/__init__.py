"""What each op does: which rule it follows, what it is called, what it costs."""
