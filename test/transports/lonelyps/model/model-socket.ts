import type { Answer, Kind, Packed, Said, Unasked } from './said.ts'

export interface Stream {
  readonly identifier: Buffer
  readonly packed: Packed
  size: number
  parts: number
}

export type Verdict = 'ok' | 'no' | { readonly door: number }
export type Door = 'remember' | 'webhooks' | 'disk' | 'registry'

/** A part on its way, as the subscriber has seen it. */
export interface Flying {
  readonly identifier: Buffer
  readonly part: number
  readonly isLast: boolean
}

/** What is to hold of one socket, said without a look at how the hub does it. */
export interface ModelSocket {
  readonly name: string
  readonly since: number
  /** 'leaving': the peer has gone, and what it said before is still to be done. */
  phase: 'greeting' | 'open' | 'leaving' | 'over'
  /** The hub has closed it, and why. */
  closed: string | undefined
  confirmed: boolean
  readonly queue: { readonly said: Said; verdict: Verdict | undefined; readonly isRead: boolean }[]
  blocked: boolean
  readonly own: Set<string>
  readonly joined: Map<string, { readonly kind: Kind; readonly target: Buffer; readonly answer: number }>
  readonly answers: Answer[]
  released: number
  readonly unasked: Unasked[]
  /** What waits to be sent, and the bytes that each is counted with. */
  readonly row: { readonly is: 'message' | 'said'; readonly bytes: number; readonly missed?: Buffer }[]
  flying: number
  stalled: boolean
  held: boolean
  /** Nothing more is read of it. */
  paused: boolean
  /** Subscriptions that are there or asked for. */
  reserved: string[]
  readonly awaited: Flying[]
  stream: Stream | undefined
  progressAt: number
  /** When something of it was last seen waiting for its turn. */
  busyAt: number
}

export function createModelSocket(name: string, now: number): ModelSocket {
  return {
    name, since: now, phase: 'greeting', closed: undefined, confirmed: false, queue: [], blocked: false, own: new Set(), joined: new Map(),
    answers: [], released: 0, unasked: [], row: [], flying: 0, stalled: false, held: false, paused: false, reserved: [], awaited: [], stream: undefined,
    progressAt: now, busyAt: -Infinity,
  }
}

const compiled = new Map<string, RegExp>()

/** `*` is any run of signs, `?` one; a topic that is no text is matched by no glob. */
export function matches(kind: Kind, target: Buffer, topic: Buffer): boolean {
  if (kind === 'exact') return target.equals(topic)
  const text = topic.toString()
  if (text.includes('\ufffd')) return false
  const glob = target.toString()
  let pattern = compiled.get(glob)
  if (pattern === undefined) {
    const source = [...glob].map((sign) => (sign === '*' ? '.*' : sign === '?' ? '.' : sign.replace(/[^\w]/, '\\$&'))).join('')
    compiled.set(glob, (pattern = new RegExp(`^${source}$`, 'su')))
  }
  return pattern.test(text)
}

/** Bytes that wait for it. */
export function bytesOf({ row }: ModelSocket): number {
  return row.reduce((sum, { bytes }) => sum + bytes, 0)
}
