"""What people look at: figures, pages and tables, made from the records of a run folder."""
