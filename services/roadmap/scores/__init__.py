"""How a candidate is ranked: pure rules over a theme's evidence, with no I/O, clock or ids."""
