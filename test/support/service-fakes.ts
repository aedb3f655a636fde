import { Duplex } from 'node:stream'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import type { Dial, Dialled } from '../../src/zones/ports.ts'
import type { Connection, ConnectionEvents, Ending, Peer } from '../../src/services/ports.ts'

/* The network below clients and workers of services, told by a test what to do. */

export const PEER: Peer = { address: '127.0.0.1', local: true, names: [], certificateNames: [] }

/** A way out whose every attempt the test answers. */
export interface FakeDial {
  readonly dial: Dial
  /** Attempts that have been made, those included that are over. */
  readonly attempts: number
  /** Answers the attempt that goes on. */
  succeed(): void
  fail(kind: 'refused' | 'unreachable' | 'tls' | 'timeout', detail: string): void
  /** Streams of attempts that nobody wanted any more when they were answered, or later. */
  readonly streams: Duplex[]
}

export function fakeDial(): FakeDial {
  let open: { resolve(dialled: Dialled): void; reject(error: Error): void } | undefined
  let attempts = 0
  const streams: Duplex[] = []
  const current = () => {
    if (open === undefined) throw new Error('no attempt goes on')
    const one = open
    open = undefined
    return one
  }
  return {
    streams,
    get attempts() { return attempts },
    dial: () => new Promise((resolve, reject) => {
      attempts++
      open = { resolve, reject }
    }),
    succeed() {
      const stream = new Duplex({ read() {}, write(_chunk, _encoding, done) { done() } })
      streams.push(stream)
      current().resolve({ stream, names: [], address: '127.0.0.1', certificateNames: [] })
    },
    fail(kind, detail) {
      current().reject(new ZoneDialError(kind, detail))
    },
  }
}

/** A connection that keeps what it is told, and tells what the test wants. */
export interface FakeConnection extends Connection {
  /** What was done to it, in words. */
  readonly told: string[]
  readonly events: ConnectionEvents
  isWaystation: boolean
  /** It ends. */
  end(why: Ending, detail: string): void
}

export function fakeConnection(events: ConnectionEvents): FakeConnection {
  const told: string[] = []
  let isOver = false
  const end = (why: Ending, detail: string): void => {
    if (isOver) return
    isOver = true
    events.ended(why, detail)
  }
  const connection: FakeConnection = {
    peer: PEER,
    told, events, end,
    isWaystation: false,
    pendingBytes: 0,
    get isOver() { return isOver },
    send(type, parts, more) {
      told.push(`${type} ${Buffer.concat(parts).toString('hex')}${more?.extension === undefined ? '' : ` ${more.extension.kind}`}`)
      return { hasLeft: true, withdraw: () => false }
    },
    answered() {},
    keepalive: () => void told.push('keepalive'),
    pause() {},
    resume() {},
    drop(why, detail) {
      told.push(`drop ${why}`)
      end(why, detail)
    },
    close(deadline) {
      told.push(`close${deadline.aborted ? ' now' : ''}`)
      end('stopped', '')
      return Promise.resolve()
    },
  }
  return connection
}
