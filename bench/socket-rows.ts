import { observe } from './measure.ts'
import { common, withHub, type Found, type Place } from './place.ts'
import type { Row } from './scenarios.ts'
import type { SocketOptions, SocketScenario } from './socket-options.ts'
import type { RelayTask, SchemeName } from './task.ts'

type SocketPlace = Place<SocketOptions>
type SocketRow = Row<SocketScenario, SocketOptions>

const MIB = 2 ** 20
export const WINDOW = 64
/** What may wait in the hub for slow subscribers, so that it lets none of them go. */
export const BACKLOG = 1_024

async function relay(place: SocketPlace, load: Pick<RelayTask, 'scheme' | 'subscribers' | 'unconfirmed' | 'unfinished'>, maxUnacknowledged?: number): Promise<Found> {
  const { warmup, seconds, size } = place.options
  const task: RelayTask = { kind: 'relay', warmup, seconds, size, ...load }
  return common(await withHub(place, load.scheme, (server) => observe(server, task, place.pinning), maxUnacknowledged === undefined ? {} : { maxUnacknowledged }))
}

async function large(place: SocketPlace, scheme: SchemeName, way: 'memory' | 'spool', zstd: boolean): Promise<Found> {
  const { warmup, seconds, large: size } = place.options
  // Compressed chance is larger than it was.
  const spoolAbove = way === 'memory' ? 2 * size : 0
  const { seen, used, after, loads } = await withHub(place, scheme, (server) => observe(server, { kind: 'large', warmup, seconds, size, scheme, zstd }, place.pinning), { spoolAbove })
  // Of compressed messages, too, the bytes as sent are counted: chance gains nothing from compression.
  return { ...loads, mib: seen.count / MIB / seen.seconds, cpuPerGiB: (used / seen.count) * 2 ** 30, peakMiB: after.peak / MIB }
}

async function bytes(place: SocketPlace, trained: boolean): Promise<Found> {
  const { messages } = place.options
  const { seen, loads } = await withHub(place, 'none', (server) => observe(server, { kind: 'bytes', messages, trained }, place.pinning))
  if (seen.bytes === undefined) throw new Error('the load counted no bytes')
  const { plain, bodyIn, bodyOut, frameIn, frameOut } = seen.bytes
  return {
    ...loads,
    plain: plain / messages, bodyIn: bodyIn / messages, frameIn: frameIn / messages, bodyOut: bodyOut / messages, frameOut: frameOut / messages,
    shareIn: (bodyIn / plain) * 100, shareOut: (bodyOut / plain) * 100,
  }
}

/** All rows of what was asked for, in the order of the tables. */
export function rowsOf({ only, subscribers: most }: SocketOptions): SocketRow[] {
  const rows: SocketRow[] = []
  const schemes = ['none', 'hmac'] as const
  for (const scheme of schemes) {
    rows.push({ scenario: 'sequential', of: { scheme }, measure: (place) => relay(place, { scheme, subscribers: 1, unconfirmed: 1, unfinished: 1 }) })
  }
  for (const scheme of schemes) {
    for (const subscribers of new Set([1, most])) {
      for (const unacknowledged of [3, 64]) {
        rows.push({
          scenario: 'pipelined', of: { scheme, subscribers, unacknowledged },
          measure: (place) => relay(place, { scheme, subscribers, unconfirmed: WINDOW, unfinished: BACKLOG }, unacknowledged),
        })
      }
    }
  }
  for (const way of ['memory', 'spool'] as const) {
    for (const compressor of ['none', 'zstd'] as const) {
      rows.push({ scenario: 'large', of: { through: way, compressor, scheme: 'hmac' }, measure: (place) => large(place, 'hmac', way, compressor === 'zstd') })
    }
  }
  for (const compressor of ['none', 'dictionary'] as const) {
    rows.push({ scenario: 'bytes', of: { compressor }, measure: (place) => bytes(place, compressor === 'dictionary') })
  }
  return rows.filter(({ scenario }) => only.includes(scenario))
}
