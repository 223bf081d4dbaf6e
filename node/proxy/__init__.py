"""The recording proxy: what other programs ask of models, passed on and put on record."""
