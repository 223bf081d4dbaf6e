"""Adopting, decided without a machine: what is in force of several layers, how a trial goes on."""
