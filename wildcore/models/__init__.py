"""A model as loaded: weights, tokenizer, tokens, memory."""
