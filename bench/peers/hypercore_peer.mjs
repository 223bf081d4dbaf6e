// npm hypercore: node hypercore_peer.mjs ROW FOLDER COUNT TEXTS
// Blocks are ready-made bytes; every append is signed (Ed25519); nothing is asked to be durable,
// for it offers no such setting. Reads are not verified by it; the faster of two ways counts.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import Hypercore from 'hypercore'
import { MerkleTree } from 'hypercore/lib/merkle-tree.js'

const WRITERS = 100
const STRIDE = 7919
const IN_FLIGHT = 64
const [row, folder, count, source] = process.argv.slice(2)
const blocks = fs
  .readFileSync(source, 'latin1')
  .split('\n')
  .slice(0, Number(count))
  .map((line) => Buffer.from(line, 'latin1'))
const N = blocks.length
const storage = path.join(folder, 'core')

async function open () {
  const core = new Hypercore(storage)
  await core.ready()
  return core
}

async function timed (count, work) {
  const begin = performance.now()
  const busy = process.cpuUsage()
  await work()
  const seconds = (performance.now() - begin) / 1000
  const { user, system } = process.cpuUsage(busy)
  return { count, seconds, cpu: (user + system) / 1e6 }
}

async function append (batch) {
  const core = await open()
  return timed(N, async () => {
    for (let at = 0; at < N; at += batch) {
      await core.append(batch === 1 ? blocks[at] : blocks.slice(at, at + batch))
    }
  })
}

async function writers () {
  const core = await open()
  const each = Math.max(1, Math.floor(N / WRITERS))
  const write = async (writer) => {
    for (let at = writer * each; at < (writer + 1) * each; at++) await core.append(blocks[at])
  }
  const all = Math.floor(N / each)
  return timed(all * each, () => Promise.all(Array.from({ length: all }, (_, n) => write(n))))
}

async function filled () {
  const core = await open()
  for (let at = 0; at < N; at += 1000) await core.append(blocks.slice(at, at + 1000))
  await core.close()
  return open()
}

async function replay () {
  let core = await filled()
  const streamed = await timed(N, async () => {
    let seen = 0
    for await (const block of core.createReadStream()) seen += block.length
    return seen
  })
  await core.close()
  core = await open()
  const got = await timed(N, async () => {
    for (let at = 0; at < N; at += IN_FLIGHT) {
      const stop = Math.min(N, at + IN_FLIGHT)
      await Promise.all(Array.from({ length: stop - at }, (_, n) => core.get(at + n)))
    }
  })
  return streamed.seconds < got.seconds ? streamed : got
}

// The path from a leaf's hash to the signed roots, without the block: what an inclusion proof is.
const wanted = (at) => ({
  hash: { index: 2 * at, nodes: 0 },
  upgrade: { start: 0, length: N }
})
const positions = (count) => Array.from({ length: count }, (_, n) => (n * STRIDE) % N)
const several = Math.max(1, Math.floor(N / 10))

async function prove () {
  const core = await filled()
  const one = await timed(several, async () => {
    for (const at of positions(several)) await core.proof(wanted(at))
  })
  const many = await timed(several, async () => {
    const all = positions(several)
    for (let at = 0; at < all.length; at += IN_FLIGHT) {
      await Promise.all(all.slice(at, at + IN_FLIGHT).map((leaf) => core.proof(wanted(leaf))))
    }
  })
  return one.seconds < many.seconds ? one : many
}

// Hashing up to the roots; the signature over them is left out on both sides.
async function verify () {
  const core = await filled()
  const proofs = []
  for (const at of positions(several)) {
    proofs.push(await core.proof({ block: { index: at, nodes: 0 }, upgrade: { start: 0, length: N } }))
  }
  return timed(several, () => {
    for (const proof of proofs) {
      if (MerkleTree.verifyFullyRemote(core.state, proof).length !== N) throw new Error('not verified')
    }
  })
}

function weigh (at) {
  if (!fs.statSync(at).isDirectory()) return fs.statSync(at).size
  return fs.readdirSync(at).reduce((sum, name) => sum + weigh(path.join(at, name)), 0)
}

// Both ends in one process, over TCP on loopback; a block is verified when it comes in.
async function mirrored () {
  const core = await filled()
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.pipe(core.replicate(false)).pipe(socket)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const clone = new Hypercore(path.join(folder, 'clone'), core.key)
  await clone.ready()
  const socket = net.connect(server.address().port, '127.0.0.1')
  socket.on('error', () => {})
  const found = await timed(N, async () => {
    socket.pipe(clone.replicate(true)).pipe(socket)
    while (clone.length < N) await clone.update({ wait: true })
    await clone.download({ start: 0, end: N }).done()
  })
  if (clone.contiguousLength !== N) throw new Error(`${clone.contiguousLength} of ${N} blocks`)
  return { ...found, received: socket.bytesRead }
}

async function size () {
  await (await filled()).close()
  return { value: weigh(storage) / N }
}

const WORK = {
  'append-1': () => append(1),
  'append-100': () => append(100),
  'append-1000': () => append(1000),
  'append-1000-signed': () => append(1000),
  'writers-100': writers,
  replay,
  prove,
  verify,
  mirror: mirrored,
  'mirror-bytes': async () => ({ value: (await mirrored()).received / N }),
  bytes: size
}
console.log(JSON.stringify(await WORK[row]()))
process.exit(0)
