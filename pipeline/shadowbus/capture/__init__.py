"""What production calls: requests, live predictions and labels go out, and nothing ever comes back."""
