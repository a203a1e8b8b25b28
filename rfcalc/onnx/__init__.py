"""ONNX files: read with bounds, and run by PyTorch, so that the analysis takes them like any module."""
