"""The exact mathematics: which input positions an output position depends on. Nothing here imports torch."""
