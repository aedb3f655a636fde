import type { Socket } from 'node:net'

/**
 * Notices that a peer does not take what it is sent: a write that is still owed after `timeout` milliseconds. When all
 * that was owed has gone out by then, what is owed now has its own time.
 */
export class StallWatch {
  readonly #socket: Socket
  readonly #timeout: number
  /** Since when a write is owed; -1 when none is. */
  #since = -1
  #upTo = 0

  constructor(socket: Socket, timeout: number) {
    this.#socket = socket
    this.#timeout = timeout
  }

  /** To be called after a write. True when a watch has begun and somebody should look again by `due`. */
  begin(now: number): boolean {
    if (this.#since !== -1 || this.#socket.writableLength === 0) return false
    this.#since = now
    this.#upTo = this.#socket.bytesWritten
    return true
  }

  /** When to look again; infinity when nothing is owed. */
  get due(): number {
    return this.#since === -1 ? Infinity : this.#since + this.#timeout
  }

  /** Whether the time is up and what was owed then is owed still. */
  overdue(now: number): boolean {
    if (now < this.due) return false
    const owed = this.#socket.writableLength
    if (owed > 0 && this.#socket.bytesWritten - owed < this.#upTo) return true
    this.#since = owed > 0 ? now : -1
    this.#upTo = this.#socket.bytesWritten
    return false
  }
}

/** Waits until the peer has taken enough that at most `enough` bytes wait. Rejects when the connection ends. */
export function roomOn(socket: Socket, enough: number): Promise<void> | undefined {
  if (socket.destroyed) return Promise.reject(new Error('the connection is closed'))
  if (socket.writableLength <= enough || !socket.writableNeedDrain) return undefined
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      if (socket.destroyed) reject(new Error('the connection is closed'))
      else resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
  })
}
