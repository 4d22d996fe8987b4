"""How a model, edited or not, is run fast: decoding, teacher forcing, caches, partial passes."""
