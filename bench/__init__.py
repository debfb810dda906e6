"""Measures Groundswell beside its peers, in one run on two cores: `make bench`. No part of the product."""
