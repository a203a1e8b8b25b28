"""A trained network off the machine: ONNX, int8, C for microcontrollers, and a report on what fits."""
