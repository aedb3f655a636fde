import type { Socket } from 'node:net'
import WebSocket from 'ws'
import type { Clock } from '../../core/ports.ts'
import { roomOn } from '../../http/stall.ts'

/** A WebSocket as the state machine sees it: whole messages, and its end. Nothing throws; after the end all does nothing. */
export interface Wire {
  /** Bytes that the network has taken. */
  readonly taken: number
  /** One message; `body` goes behind `head` without a copy. `left` is called when the network has taken it. */
  send(head: Buffer, body?: Buffer, left?: () => void): void
  /** Waits until the network has taken what was sent, or the end; `undefined` when there is room for more. */
  room(): Promise<void> | undefined
  /** Nothing is read until `resume`; a message or two may still come. */
  pause(): void
  resume(): void
  /** Says goodbye; settles when it is over. */
  close(): Promise<void>
  /** No end is told of any more, and nothing that still comes. */
  forget(): void
}

export interface WireEvents {
  opened(): void
  message(frame: Buffer): void
  /** A text message came, which the protocol has none of. */
  text(): void
  /** Once; also when it never opened. */
  closed(why: string): void
}

export type Dial = (base: string, events: WireEvents) => Wire

export interface WireTimes {
  /** ms without data after which a ping goes out, and for its pong; for the other side's goodbye. */
  readonly ping: number
  readonly pong: number
  readonly close: number
}

/** Bytes of one incoming message (section 4.15). */
const MAX_MESSAGE = 16_777_216
/** Bytes up to which head and body are sent as one frame, copied. */
const GATHER = 65_536
/** Bytes that may wait for the network. */
const ENOUGH = 1_048_576
const NONE = Buffer.alloc(0)

/** Opens `<base>/v1/websocket` (lonelyps, section 4.1). */
export function createDial(times: WireTimes, clock: Clock): Dial {
  return (base, { opened, message, text, closed }) => {
    const ws = new WebSocket(`${base}/v1/websocket`, { perMessageDeflate: false, maxPayload: MAX_MESSAGE })
    let socket: Socket | undefined
    let lastSeen = clock.monotonic()
    let unwatch = (): void => {}
    let why = ''
    let told = false
    const gone = Promise.withResolvers<void>()

    function end(reason: string): void {
      why ||= reason
      ws.terminate()
    }

    function watch(): void {
      const quiet = clock.monotonic() - lastSeen
      // Whoever does not read hears nothing.
      if (ws.isPaused || quiet < times.ping) return void (unwatch = clock.after(ws.isPaused ? times.ping : times.ping - quiet, watch))
      const before = lastSeen
      ws.ping(NONE)
      unwatch = clock.after(times.pong, () => {
        if (lastSeen === before && !ws.isPaused) end('a ping was not answered')
        else watch()
      })
    }

    ws.on('upgrade', (response) => {
      socket = response.socket
      socket.on('data', () => (lastSeen = clock.monotonic()))
    })
    ws.on('open', () => {
      lastSeen = clock.monotonic()
      watch()
      opened()
    })
    ws.on('message', (data: Buffer, binary) => {
      if (told) return
      if (binary) message(data)
      else text()
    })
    ws.on('error', (error) => (why ||= error.message))
    ws.on('close', (code) => {
      unwatch()
      gone.resolve()
      if (told) return
      told = true
      closed(why || `it was closed with ${code}`)
    })

    return {
      get taken() { return socket === undefined ? 0 : socket.bytesWritten - socket.writableLength },
      send(head, body = NONE, left = undefined) {
        if (ws.readyState !== WebSocket.OPEN) return
        if (body.length <= GATHER) return ws.send(body.length === 0 ? head : Buffer.concat([head, body]), left)
        ws.send(head, { fin: false })
        ws.send(body, { fin: true }, left)
      },
      room() {
        if (socket === undefined || socket.destroyed) return undefined
        return socket.writableLength <= ENOUGH ? undefined : roomOn(socket, ENOUGH)?.catch(() => {})
      },
      pause: () => ws.pause(),
      resume: () => ws.resume(),
      close() {
        if (ws.readyState === WebSocket.CONNECTING) ws.terminate()
        else {
          ws.close(1000)
          // A peer that is not read from does not get to say goodbye.
          ws.resume()
        }
        const cut = clock.after(times.close, () => ws.terminate())
        return gone.promise.finally(cut)
      },
      forget() {
        told = true
      },
    }
  }
}
