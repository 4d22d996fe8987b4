"""Files and caches that outlive a run."""
