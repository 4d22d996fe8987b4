"""Shared pieces of editors that put edited facts before a question: their memory, what is like a question, and room for it.

A helper library: it offers nothing by itself.
"""
