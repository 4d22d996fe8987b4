"""Names of the offers that commands and the Python interface use by default. Nothing else in the core names an offer."""

EMBEDDED_MODEL = "pocket"
EMBEDDED_DATASET = "pocketqa"
SYNTHETIC = "synthetic"
WILD = "wild"
BOTH_PROTOCOLS = (SYNTHETIC, WILD)
MEASUREMENTS = ("perplexity", "n-gram-entropy")
"""Made at the judging points of a sequence, as far as they are installed."""
