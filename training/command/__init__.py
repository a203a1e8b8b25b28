"""What train.py does once its flags are read; the rest of `training` knows nothing of it."""
