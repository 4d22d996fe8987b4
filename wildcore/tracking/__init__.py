"""Trackers at work: each has a process of its own, so that nothing that it does reaches the run."""
