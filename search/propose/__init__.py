"""Which networks are proposed: spaces, samplers, the gate in front of training."""
