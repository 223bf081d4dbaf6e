// npm @nostr-relay on loopback, put together as its authors show: node npm_relay.mjs FILE
// Prints its address, then serves until it is told to end. NIP-42 is off, as without a host name.
import { NostrRelay } from '@nostr-relay/core'
import { EventRepositorySqlite } from '@nostr-relay/event-repository-sqlite'
import { Validator } from '@nostr-relay/validator'
import { LogLevel } from '@nostr-relay/common'
import { WebSocketServer } from 'ws'

const repository = new EventRepositorySqlite(process.argv[2])
await repository.init()
const relay = new NostrRelay(repository, { logLevel: LogLevel.ERROR })
const validator = new Validator()
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })

server.on('connection', (socket) => {
  relay.handleConnection(socket)
  socket.on('message', async (data) => {
    try {
      await relay.handleMessage(socket, await validator.validateIncomingMessage(data))
    } catch (error) {
      socket.send(JSON.stringify(['NOTICE', error.message]))
    }
  })
  socket.on('close', () => relay.handleDisconnect(socket))
  socket.on('error', () => {})
})
server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port}`))
process.on('SIGTERM', async () => {
  await relay.destroy()
  await repository.destroy()
  process.exit(0)
})
