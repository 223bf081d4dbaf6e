"""Birth (SOUL, keys, keystore) and succession (propose, fork, judge)."""
