"""Names of offers that commands and the façade choose where the user names none. Nothing else in the core names an offer."""

EMBEDDED_MODEL = "pocket"
EMBEDDED_DATASET = "pocketqa"
SYNTHETIC = "synthetic"
WILD = "wild"
BOTH_PROTOCOLS = (SYNTHETIC, WILD)
