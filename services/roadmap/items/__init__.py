"""Items: what was decided to do about themes, from the plan to the measured outcome."""
