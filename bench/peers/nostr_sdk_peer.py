"""PyPI nostr-sdk's LocalRelay, of rust-nostr, in memory: `python nostr_sdk_peer.py`.

Prints its address, then serves until it is told to end. Its bounds on requests and answers are
raised to what the rows ask for, its rate limit to what nobody reaches.
"""

import asyncio
import signal

import nostr_sdk


async def main():
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    generous = nostr_sdk.RateLimit(max_reqs=500, notes_per_minute=100_000_000)
    builder = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").rate_limit(generous)
    relay = builder.max_filter_limit(6000).default_filter_limit(500).build()
    await relay.run()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(str(await relay.url()).rstrip("/"), flush=True)
    await ended.wait()
    relay.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
