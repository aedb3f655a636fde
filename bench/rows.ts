import type { Task } from './task.ts'

interface Scale {
  readonly warmup: number
  readonly seconds: number
  readonly subscribers: number
  readonly rate: number
  readonly size: number
  readonly idle: number
}

interface Row {
  readonly help: string
  title(scale: Scale): string
  task(scale: Scale): Task
}

const POSTERS = 64
const number = (value: number): string => value.toLocaleString('en-US')

/** What is measured, in the order of the table. */
export const ROWS = {
  'one': {
    help: 'one channel, full rate, one message in flight: the price of a single delivery',
    title: (scale) => `1 channel x ${number(scale.subscribers)} subscribers, ${scale.size} B, 1 in flight`,
    task: ({ warmup, seconds, subscribers, size }) => ({ kind: 'fan-out', channels: 1, inFlight: 1, warmup, seconds, subscribers, size }),
  },
  'many': {
    help: 'one channel, full rate, 64 messages in flight: what a burst costs',
    title: (scale) => `1 channel x ${number(scale.subscribers)} subscribers, ${scale.size} B, 64 in flight`,
    task: ({ warmup, seconds, subscribers, size }) => ({ kind: 'fan-out', channels: 1, inFlight: 64, warmup, seconds, subscribers, size }),
  },
  'channels': {
    help: 'as many channels as subscribers, one in each, which sends to itself, 64 messages in flight',
    title: (scale) => `${number(scale.subscribers)} channels x 1 subscriber, ${scale.size} B, 64 in flight`,
    task: ({ warmup, seconds, subscribers, size }) => ({ kind: 'fan-out', channels: subscribers, inFlight: 64, warmup, seconds, subscribers, size }),
  },
  'rate': {
    help: 'one channel at a fixed rate: the latency when the server is not at its limit',
    title: (scale) => `1 channel x ${number(scale.subscribers)} subscribers, ${scale.size} B, ${number(scale.rate)} messages/s`,
    task: ({ warmup, seconds, subscribers, size, rate }) => ({ kind: 'fan-out', channels: 1, rate, warmup, seconds, subscribers, size }),
  },
  'idle': {
    help: 'connections that say nothing: the memory of each',
    title: (scale) => `${number(scale.idle)} idle connections, each on a channel of its own`,
    task: ({ idle, seconds }) => ({ kind: 'idle', connections: idle, before: Math.min(100, idle), settle: Math.min(2, seconds) }),
  },
  'post': {
    help: 'publishing by POST on keep-alive connections, to nobody: the price of a request',
    title: (scale) => `POST of ${scale.size} B on ${POSTERS} keep-alive connections (counted: requests)`,
    task: ({ warmup, seconds, size }) => ({ kind: 'post', connections: POSTERS, warmup, seconds, size }),
  },
} as const satisfies Record<string, Row>

export type RowName = keyof typeof ROWS
