"""Shared pieces of editors that treat an MLP as a key-value memory: keys, values, second moments, prefixes.

This is a helper library: it offers nothing by itself. In these editors the input of an MLP's output projection W at the subject's
last token is the *key* k, and W k is the *value* (Meng et al., NeurIPS 2022, section 3).
"""
