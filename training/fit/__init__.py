"""From a `Recipe` and batches to weights: step, optimiser, checkpoint, evaluation."""
