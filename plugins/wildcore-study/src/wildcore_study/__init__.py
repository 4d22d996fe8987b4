"""Studies: grids of evaluations over models, editors, datasets and protocols."""
