"""The catalog: which services there are, whose, of which product, how vital."""
