"""From `Samples` to batches: order, augmentation, and mixing of images."""
