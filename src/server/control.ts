import type { Socket } from 'node:net'
import type { Clock } from '../core/ports.ts'
import type { LinkView } from '../links/ports.ts'
import { CONTROL_BOUNDS, type LinkStatus, type ServiceStatus, type Snapshot, type Status } from './control-messages.ts'
import { createTraffic } from './traffic.ts'
import type { Vitals } from './vitals.ts'

/** ms from one snapshot to the next. */
const SPAN = 1_000

/** Answers those who ask a hub how it is. */
export interface Control {
  /** Takes a caller in. It can neither hold memory nor the hub: everything about it is bounded. */
  connected(socket: Socket): void
  /** Callers that are here. */
  readonly clients: number
  /** Lets go of all. */
  close(): void
}

interface Watcher {
  readonly socket: Socket
  /** Snapshots in a row that were not sent, because the one before is still unread. */
  unread: number
}

export function createControl(parts: {
  readonly vitals: Vitals
  readonly clock: Clock
  readonly pid: number
  readonly pidSpace: string | null
  readonly version: string
  readonly drainTime: number
  /** Where the hub listens; undefined before it does. */
  readonly address: () => string | undefined
  /** The last lines of the log. */
  readonly lines: (most: number) => readonly string[]
}): Control {
  const { vitals, clock, pid, pidSpace, version, drainTime, address, lines } = parts
  const since = new Date(clock.now()).toISOString()
  const traffic = createTraffic(vitals.hub, clock)
  const sockets = new Set<Socket>()
  const watchers = new Set<Watcher>()
  let before = { at: 0, in: 0, out: 0 }
  let cancel: (() => void) | undefined

  function status<Type extends Status['type']>(type: Type): Status & { readonly type: Type } {
    const database = vitals.database === undefined ? 'none' : vitals.database ? 'available' : 'unavailable'
    return { type, pid, pidSpace, version, since, address: address() ?? null, stopping: vitals.stopping, drainTime, connections: vitals.connections(), database, links: vitals.links().slice(0, CONTROL_BOUNDS.links).map(linkStatus), services: servicesOf(vitals) }
  }

  function snapshot(rates: Snapshot['rates'], busiest: ReturnType<typeof traffic.take>): string {
    const topics = busiest.map(({ topic, rate }) => ({ topic: topic.slice(0, CONTROL_BOUNDS.topicLength), rate: rounded(rate), subscribers: vitals.hub.audience(topic) }))
    const whole: Snapshot = { ...status('snapshot'), time: new Date(clock.now()).toISOString(), rates, topics, webhooks: vitals.webhooks(), log: lines(CONTROL_BOUNDS.lines) }
    return JSON.stringify(whole) + '\n'
  }

  function mark(): void {
    before = { at: clock.monotonic(), ...vitals.totals() }
  }

  /** One snapshot for all who watch. */
  function tick(): void {
    const { at, ...then } = before
    mark()
    const seconds = Math.max(before.at - at, 1) / 1_000
    const text = snapshot({ in: rounded((before.in - then.in) / seconds), out: rounded((before.out - then.out) / seconds) }, traffic.take(CONTROL_BOUNDS.topics))
    for (const watcher of watchers) {
      if (watcher.socket.writableLength === 0) {
        watcher.unread = 0
        watcher.socket.write(text)
      } else if (++watcher.unread > CONTROL_BOUNDS.unread) watcher.socket.destroy()
    }
    cancel = clock.after(SPAN, tick)
  }

  function watch(socket: Socket): void {
    const watcher = { socket, unread: 0 }
    watchers.add(watcher)
    socket.once('close', () => {
      watchers.delete(watcher)
      if (watchers.size > 0) return
      cancel?.()
      traffic.stop()
    })
    socket.write(snapshot(null, []))
    if (watchers.size > 1) return
    mark()
    traffic.start()
    cancel = clock.after(SPAN, tick)
  }

  /** @param inTime takes back that the caller is let go when its time is over; whoever is to take one line, and does not, is */
  function answer(socket: Socket, question: string, inTime: () => void): void {
    switch (askedFor(question)) {
      case 'status': return void socket.end(JSON.stringify(status('status')) + '\n')
      case 'watch':
        inTime()
        return watch(socket)
      default: return void socket.end('{"error":"ask for status or watch"}\n')
    }
  }

  return {
    get clients() { return sockets.size },
    connected(socket) {
      socket.on('error', () => {})
      if (sockets.size >= CONTROL_BOUNDS.clients) return void socket.end('{"error":"too many ask at once"}\n', () => socket.destroy())
      sockets.add(socket)
      const late = clock.after(CONTROL_BOUNDS.questionTime, () => socket.destroy())
      let question: string | undefined = ''
      socket.setEncoding('latin1')
      socket.on('data', (text: string) => {
        // There is one question; whoever goes on talking is not one of ours.
        if (question === undefined) return void socket.destroy()
        question += text
        const end = question.indexOf('\n')
        if (question.length > CONTROL_BOUNDS.questionBytes) return void socket.destroy()
        if (end === -1) return
        const asked = question.slice(0, end)
        question = undefined
        answer(socket, asked, late)
      })
      socket.once('close', () => {
        late()
        sockets.delete(socket)
      })
    },
    close() {
      cancel?.()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function askedFor(question: string): unknown {
  try {
    return (JSON.parse(question) as { ask?: unknown } | null)?.ask
  } catch {
    return undefined
  }
}

function linkStatus({ name, current }: LinkView): LinkStatus {
  return current.state === 'up' ? { name, state: 'up' } : { name, state: 'down', why: current.why }
}

function rounded(rate: number): number {
  return Math.round(rate * 10) / 10
}

function servicesOf(vitals: Vitals): ServiceStatus[] {
  const down = vitals.outbound().flatMap(({ service, name, current }) => (current.state === 'down' ? [{ service, text: `${name}: ${current.why}` }] : []))
  return vitals.services().slice(0, CONTROL_BOUNDS.services).map(({ name, members, running, waiting }) => {
    const own = down.filter(({ service }) => service === name).slice(0, CONTROL_BOUNDS.down).map(({ text }) => text)
    return { name, workers: members.length, running, waiting, ...(own.length > 0 && { down: own }) }
  })
}
