"""A small real language model and its edit cases, inside the package: wildcore's default model and dataset."""
