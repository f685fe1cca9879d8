"""Model families that come with RoIBench: one folder per family, one file per model, weights/ beside them."""
