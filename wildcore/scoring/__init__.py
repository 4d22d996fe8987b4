"""From recorded answers to scores, and from scores to a summary."""
