import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Tickable, Wheel } from '../../core/wheel.ts'
import { StallWatch } from '../../http/stall.ts'

export interface LineBounds {
  readonly maxUnanswered: number
  /** Of answers; one may always wait. */
  readonly maxServicePendingBytes: number
  readonly writeTimeout: number
}

/** The calls of one HTTP connection that are not answered yet, and the answers that it has not taken. */
export interface Line {
  readonly isFull: boolean
  /** Adds a call; what it is abandoned by is called when the connection is gone. Gives what takes it out. */
  add(abandon: () => void): () => void
  /** Ends a response with a body. One who does not take what he is sent is let go. False when he was. */
  end(response: ServerResponse, body: Buffer): boolean
}

/** Finds the line of a connection. A client may send many requests before it has its first answer. */
export function createLines(bounds: LineBounds, wheel: Wheel): (socket: Socket) => Line {
  const lines = new WeakMap<Socket, Line>()
  return (socket) => {
    const known = lines.get(socket)
    if (known !== undefined) return known
    const line = createLine(socket, bounds, wheel)
    lines.set(socket, line)
    return line
  }
}

function createLine(socket: Socket, bounds: LineBounds, wheel: Wheel): Line {
  const calls = new Set<() => void>()
  const stall = new StallWatch(socket, bounds.writeTimeout)
  /** Bytes of answers that are not out. */
  let owed = 0
  const watch: Tickable = {
    wheelSlot: undefined,
    tick(now) {
      if (stall.overdue(now)) socket.destroy()
      if (owed === 0 || socket.destroyed) return 0
      stall.begin(now)
      return Math.max(1, Math.min(bounds.writeTimeout, stall.due - now))
    },
  }
  socket.once('close', () => {
    wheel.remove(watch)
    for (const abandon of calls) abandon()
    calls.clear()
  })

  return {
    get isFull() { return calls.size >= bounds.maxUnanswered },
    add(abandon) {
      // Of a connection that has gone already nobody would tell.
      if (socket.destroyed) abandon()
      else calls.add(abandon)
      return () => void calls.delete(abandon)
    },
    end(response, body) {
      if (owed > bounds.maxServicePendingBytes) {
        socket.destroy()
        return false
      }
      owed += body.length
      response.end(body, () => (owed -= body.length))
      const waits = socket.writableLength > 0 || response.socket === null
      if (waits && watch.wheelSlot === undefined) {
        stall.begin(wheel.now)
        wheel.add(watch, bounds.writeTimeout)
      }
      return true
    },
  }
}
