"""Adopted architectures on disk."""
