"""Themes: recurring pains of a product; which evidence belongs to which, and who decided so."""
