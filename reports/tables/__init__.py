"""Tables of a run, drawn in the terminal, as Markdown, CSV or HTML."""
