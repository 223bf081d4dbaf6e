"""All targets by name."""

from . import targets_attest, targets_homes, targets_ledger, targets_wires

TARGETS = {
    target.name: target
    for module in (targets_ledger, targets_attest, targets_wires, targets_homes)
    for target in module.TARGETS
}
