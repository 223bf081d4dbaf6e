"""Bitcoin: the seal chain, anchors, the node RPC, and the offline verifier's view of them."""
