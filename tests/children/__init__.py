"""Agents that have children: certificates, letters, gates, and what two nodes make of them."""
