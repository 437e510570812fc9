"""What every page shares: the look, the reads, the actions."""
