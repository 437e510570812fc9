"""The pages on which bundles travel."""
