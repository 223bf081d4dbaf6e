"""Answers of people to proposals: what they sign, and when they are enough."""
