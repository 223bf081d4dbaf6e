"""A child agent and its parent: letters between them, orders, and gates. Values in, values out."""
