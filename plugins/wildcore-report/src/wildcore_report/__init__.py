"""Writes runs as one HTML file, and shows a folder of runs in the browser."""
