"""What a person sees of a search: the live table, and the same from the folder afterwards."""
