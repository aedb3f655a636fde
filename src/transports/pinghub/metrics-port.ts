import { createServer, type Server } from 'node:net'
import type { Clock } from '../../core/ports.ts'

const TICK_MS = 5_000
const WEIGHT = 1 - Math.exp(-1 / 60)
const RATES = ['drops', 'postmsgs', 'sends', 'websocketmsgs'] as const

/** Events per second, exponentially weighted over five minutes (pinghub, section 10). */
export interface PinghubStats {
  count(rate: (typeof RATES)[number], events: number): void
  /** The six lines, sorted by name. */
  report(gauges: { channels: number; websockets: number }): string
}

/** From its start it ticks every five seconds by the clock it is given, for all rates at once. */
export function createPinghubStats(clock: Clock): PinghubStats & { start(): void; stop(): void } {
  const events = { drops: 0, postmsgs: 0, sends: 0, websocketmsgs: 0 }
  const rates = new Map<string, number>()
  let cancel = (): void => {}

  function tick(): void {
    for (const name of RATES) {
      const instant = events[name] / (TICK_MS / 1000)
      const before = rates.get(name)
      rates.set(name, before === undefined ? instant : before + WEIGHT * (instant - before))
    }
    for (const name of RATES) events[name] = 0
    start()
  }

  function start(): void {
    cancel()
    cancel = clock.after(TICK_MS, tick)
  }

  return {
    count: (rate, n) => void (events[rate] += n),
    report({ channels, websockets }) {
      const lines = RATES.map((name) => `${name}5m.value ${(rates.get(name) ?? 0).toFixed(3)}`)
      return [...lines, `channels.value ${channels}`, `websockets.value ${websockets}`].sort().join('\n') + '\n'
    },
    start,
    stop: () => cancel(),
  }
}

/** pinghub's metrics service: raw TCP; whoever connects is sent the report, and the connection ends. Not listening yet. */
export function createMetricsPort(report: () => string): Server {
  return createServer((socket) => {
    socket.on('error', () => {})
    socket.setTimeout(5_000, () => socket.destroy())
    // Nothing is asked for; what is sent all the same is read away, so that the end is clean.
    socket.resume()
    socket.end(report())
  })
}
