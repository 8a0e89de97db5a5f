"""What operators do from their own machine; never ships."""
