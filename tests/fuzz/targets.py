"""All targets by name."""

from . import (
    targets_attest,
    targets_fleet,
    targets_homes,
    targets_kin,
    targets_ledger,
    targets_mirrors,
    targets_patches,
    targets_permissions,
    targets_sealed,
    targets_store,
    targets_wires,
    targets_words,
)

TARGETS = {
    target.name: target
    for module in (
        targets_ledger,
        targets_attest,
        targets_wires,
        targets_sealed,
        targets_mirrors,
        targets_homes,
        targets_patches,
        targets_permissions,
        targets_fleet,
        targets_kin,
        targets_store,
        targets_words,
    )
    for target in module.TARGETS
}
