"""From an `Analysis` to text: table, JSON, CSV, Markdown, and the picture of the effective field."""
