"""Curvature of the loss along training: sharpness, and the neural tangent kernel."""
