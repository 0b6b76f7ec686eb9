"""What performance claims rest on: each module measures both sides in one run and prints the ratio."""
