"""Every request through the shadow model, joined with the live prediction: comparisons."""
