import { deflateSync } from 'node:zlib'
import { COMPRESSED, VERSION } from '../protocol/etf/tags.ts'
import type { Connection } from './ports.ts'

/** How hard it is tried: a level of zlib, or its own choice. */
export type Level = number | 'default'

/**
 * The same connection, whose calls and casts go compressed where that makes them shorter (`erps.md`, A.4 and 12.1). Servers
 * never compress.
 */
export function compressing(connection: Connection, level: Level): Connection {
  return {
    get peer() { return connection.peer },
    get isWaystation() { return connection.isWaystation },
    get pendingBytes() { return connection.pendingBytes },
    get isOver() { return connection.isOver },
    send: (type, parts, more) => connection.send(type, type === 'call' || type === 'cast' ? compressed(parts, level) : parts, more),
    answered: () => connection.answered(),
    keepalive: () => connection.keepalive(),
    pause: () => connection.pause(),
    resume: () => connection.resume(),
    drop: (why, detail) => connection.drop(why, detail),
    close: (deadline) => connection.close(deadline),
  }
}

/** @param parts a term, its 131 first */
export function compressed(parts: readonly Buffer[], level: Level): readonly Buffer[] {
  const term = Buffer.concat(parts).subarray(1)
  const stream = deflateSync(term, level === 'default' ? {} : { level })
  const head = Buffer.of(VERSION, COMPRESSED, 0, 0, 0, 0)
  head.writeUInt32BE(term.length, 2)
  return head.length + stream.length < 1 + term.length ? [head, stream] : parts
}
