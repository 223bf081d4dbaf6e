"""Addresses for people. Inside, scripts are compared; addresses are only shown."""

from embit import bech32


def p2tr_address(output_key: bytes, hrp: str) -> str:
    """The bech32m address of an output key (BIP-350); `hrp` is the network's prefix."""
    return str(bech32.encode(hrp, 1, output_key))
