"""Shared by editors that put edited facts before a question: their memory, similarity to a question, and the limit of the
context.

This is a helper library: it offers nothing by itself.
"""
