"""Key derivation, genesis and verdict values: bytes and values in, values out."""
