import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ReaderBounds } from '../protocol/websocket/reader.ts'
import { acceptance } from './handshake.ts'
import { WebSocketConnection, type Shared, type Ticker, type WebSocketBounds, type WebSocketEvents } from './websocket-connection.ts'

/**
 * Opens WebSockets for one transport: reads frames, answers pings and goodbyes, keeps alive, bounds what waits.
 * @param messages whether what clients say is wanted at all
 */
export function createWebSocketAcceptor(bounds: WebSocketBounds, ticker: Ticker, messages: 'wanted' | 'unwanted' = 'wanted'): {
  /** Answers a handshake that was found good. `undefined` when the client has gone. */
  accept(message: IncomingMessage, socket: Duplex, head: Buffer, events: WebSocketEvents): WebSocketConnection | undefined
} {
  const { maxFrameBytes } = bounds
  // A large message may come in packets of 256 bytes, no smaller: each costs a turn of the loop, however little is in it.
  const maxPieces = Math.max(1_024, Math.ceil(Math.min(maxFrameBytes / 16, 4_096 + maxFrameBytes / 256)))
  const discarding: ReaderBounds = { maxFrameBytes, maxPieces, messages: 'discarded' }
  const reading: ReaderBounds = messages === 'unwanted' ? discarding : { maxFrameBytes, maxPieces }
  const shared: Shared = { bounds, ticker, reading, discarding }
  return {
    accept(message, socket, head, events) {
      if (!socket.readable || !socket.writable) {
        socket.destroy()
        return undefined
      }
      socket.write(acceptance(message))
      if (head.length > 0) socket.unshift(head)
      return new WebSocketConnection(socket as Socket, shared, events)
    },
  }
}
