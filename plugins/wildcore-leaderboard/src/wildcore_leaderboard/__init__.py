"""Builds a static site that ranks comparable runs, checks submissions, and publishes runs on the Hugging Face hub."""
