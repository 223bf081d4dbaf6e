// npm nostr-tools as a client: one JSON request a line on stdin, one JSON answer a line on stdout.
// {"id", "call", "given"} is answered by {"id", "value"} or {"id", "error"}; keys are in hex.
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { finalizeEvent, getPublicKey, verifyEvent } from 'nostr-tools/pure'
import { SimplePool, useWebSocketImplementation } from 'nostr-tools/pool'
import * as nip17 from 'nostr-tools/nip17'
import * as nip44 from 'nostr-tools/nip44'
import * as nip59 from 'nostr-tools/nip59'
import WebSocket from 'ws'

// NIP-77 is in the package, and not among its exports.
const folder = path.join(import.meta.dirname, 'node_modules', 'nostr-tools', 'lib', 'esm')
const nip77 = await import(path.join(folder, 'nip77.js'))
useWebSocketImplementation(WebSocket)

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const signer = (secret) => (template) => Promise.resolve(finalizeEvent(template, bytes(secret)))

async function pooled (url, work) {
  const pool = new SimplePool()
  try {
    return await work(pool)
  } finally {
    pool.close([url])
  }
}

function params (secret) {
  return secret ? { onauth: signer(secret), maxWait: 5000 } : { maxWait: 5000 }
}

// What a REQ gives up to its EOSE, and why it was closed, if it was: a close comes as an EOSE first.
function read (pool, url, filter, secret) {
  return new Promise((resolve) => {
    const [events, reasons] = [[], []]
    const asked = pool.subscribe([url], filter, {
      ...params(secret),
      onevent: (event) => events.push(event),
      oneose: () => setImmediate(() => {
        resolve({ events, reasons: [...reasons] })
        asked.close()
      }),
      onclose: (closed) => reasons.push(...closed.map((one) => one.reason))
    })
  })
}

const calls = {
  pubkey: ({ secret }) => getPublicKey(bytes(secret)),
  sign: ({ template, secret }) => finalizeEvent(template, bytes(secret)),
  verify: ({ event }) => verifyEvent(event),
  publish: ({ url, event, secret }) =>
    pooled(url, (pool) => pool.publish([url], event, params(secret))[0]),
  read: ({ url, filter, secret }) => pooled(url, (pool) => read(pool, url, filter, secret)),
  count: ({ url, filters }) =>
    pooled(url, async (pool) => (await pool.ensureRelay(url)).count(filters, {})),
  // Publishes once the subscription has had its EOSE, on a connection of its own.
  live: ({ url, filter, event }) =>
    pooled(url, (reader) => pooled(url, (writer) => new Promise((resolve, reject) => {
      const asked = reader.subscribe([url], filter, {
        onevent: (found) => {
          asked.close()
          resolve(found)
        },
        oneose: () => writer.publish([url], event)[0].catch(reject)
      })
    }))),
  reconcile: ({ url, filter, held }) =>
    pooled(url, async (pool) => {
      const storage = new nip77.NegentropyStorageVector()
      for (const [at, id] of held) storage.insert(at, id)
      storage.seal()
      const relay = await pool.ensureRelay(url)
      const [have, need] = [[], []]
      await new Promise((resolve, reject) => {
        const sync = new nip77.NegentropySync(relay, storage, filter, {
          onhave: (id) => have.push(id),
          onneed: (id) => need.push(id),
          onclose: (error) => (error ? reject(new Error(error)) : resolve())
        })
        sync.start().catch(reject)
      })
      return { have, need }
    }),
  encrypt: ({ secret, pubkey, text, nonce }) =>
    nip44.encrypt(text, nip44.getConversationKey(bytes(secret), pubkey), bytes(nonce)),
  decrypt: ({ secret, pubkey, payload }) =>
    nip44.decrypt(payload, nip44.getConversationKey(bytes(secret), pubkey)),
  message: ({ secret, pubkey, text }) =>
    nip17.wrapEvent(bytes(secret), { publicKey: pubkey }, text),
  wrap: ({ rumor, secret, pubkey }) => nip59.wrapEvent(rumor, bytes(secret), pubkey),
  unwrap: ({ wrap, secret }) => nip59.unwrapEvent(wrap, bytes(secret))
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, call, given } = JSON.parse(line)
  let answer
  try {
    answer = { id, value: (await calls[call](given)) ?? null }
  } catch (error) {
    answer = { id, error: String(error?.message ?? error) }
  }
  fs.writeSync(1, JSON.stringify(answer) + '\n')
}
process.exit(0)
