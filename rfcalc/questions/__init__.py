"""What can be asked of an `Analysis`: lint, explanation, effective field, and the check by gradients."""
