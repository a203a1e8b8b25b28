"""The service: a trained network that answers over HTTP (`python -m serve RUN`)."""
