"""Transfer learning: a pretrained backbone, a new head, and features that are computed once."""
