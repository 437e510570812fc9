"""Pages for those who measure: how delivery goes."""
