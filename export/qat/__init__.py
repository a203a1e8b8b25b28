"""Quantisation-aware fine-tuning: a network trained on with the roundings of its int8 form in the forward."""
