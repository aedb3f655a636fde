import type { Duplex } from 'node:stream'
import type { Clock } from '../../src/core/ports.ts'
import { createHead, KEEPALIVE, writePacket } from '../../src/protocol/erps/packet.ts'
import type { Packet, PacketType } from '../../src/protocol/erps/messages.ts'
import { errorText, openPayload, readRef, splitError, splitReply, TERM, tuple2, writeRef, writeText } from '../../src/protocol/erps/payload.ts'
import { createPacketReader } from '../../src/protocol/erps/reader.ts'
import type { Dial } from '../../src/zones/ports.ts'

/** What an original makes of what it gets. */
export type OriginalOutcome = { readonly kind: 'answer' | 'failed'; readonly text: string } | { readonly kind: 'lost' | 'deadline' }

/** A client as Erps has it: it says no hello, knows no extension, sends a packet at a time, and ends where it gets what it does not know. */
export interface OriginalClient {
  readonly isUp: boolean
  connect(): void
  /** `undefined`: it has no connection. Gives what gives it up. */
  call(identifier: string, request: string, deadline: number, settle: (outcome: OriginalOutcome) => void): (() => void) | undefined
  /** Gives whether it will be sent, if the connection lasts. */
  cast(identifier: string, request: string): boolean
  keepalive(): void
  pause(): void
  resume(): void
  close(): void
}

export interface OriginalParts {
  readonly clock: Clock
  readonly dial: Dial
  readonly pushed: (text: string) => void
  /** What never may come, in words. */
  readonly offended: (why: string) => void
}

/** ms between two packets, above the 20 of section 5.2. */
const GAP = 21
const VERSION = { major: 0, minor: 7, patch: 0 }

export function createOriginalClient({ clock, dial, pushed, offended }: OriginalParts): OriginalClient {
  let stream: Duplex | undefined
  let isConnecting = false
  let refs = 0
  const pending = new Map<number, (outcome: OriginalOutcome) => void>()
  let waiting: Buffer[] = []
  let isSending = false

  function take(packet: Packet): void {
    if (packet.payload.length === 0) return offended('an original got a keepalive')
    const { bare, extension } = openPayload(packet.payload, {})
    if (extension !== undefined) offended(`an original got ${extension.kind}`)
    if (packet.type === 'push') return pushed(errorText(bare) ?? '')
    if (packet.type !== 'reply' && packet.type !== 'error') return offended(`an original got a ${packet.type}`)
    const referred = packet.type === 'reply' ? splitReply(bare) : splitError(bare)
    if (referred === undefined) return offended(`an original got ${packet.type} ${errorText(bare)}`)
    const ref = readRef(referred.ref) as number
    const settle = pending.get(ref)
    pending.delete(ref)
    if (ref > refs) return offended('an original got an answer to nothing')
    settle?.({ kind: packet.type === 'reply' ? 'answer' : 'failed', text: errorText(referred.term) ?? '' })
  }

  function over(own: Duplex): void {
    if (stream !== own) return
    stream = undefined
    waiting = []
    const all = [...pending.values()]
    pending.clear()
    for (const settle of all) settle({ kind: 'lost' })
  }

  function begin(own: Duplex): void {
    stream = own
    const reader = createPacketReader({ maxBytes: 1 << 20 })
    own.on('data', (bytes: Buffer) => {
      if (stream === own) for (const packet of reader.push(bytes)) take(packet)
    })
    own.on('end', () => void own.destroy())
    own.on('close', () => over(own))
  }

  function send(identifier: string, type: PacketType, parts: readonly Buffer[]): void {
    waiting.push(writePacket(createHead({ version: VERSION, identifier: Buffer.from(identifier) }), type, parts))
    next()
  }

  function next(): void {
    const [first, ...rest] = waiting
    if (isSending || first === undefined || stream === undefined) return
    waiting = rest
    isSending = true
    stream.write(first)
    clock.after(GAP, () => {
      isSending = false
      next()
    })
  }

  return {
    get isUp() { return stream !== undefined },
    connect() {
      if (stream !== undefined || isConnecting) return
      isConnecting = true
      void dial(new AbortController().signal).then((dialled) => begin(dialled.stream), () => {}).then(() => {
        isConnecting = false
      })
    },
    call(identifier, request, deadline, settle) {
      if (stream === undefined) return undefined
      const ref = ++refs
      const untime = clock.after(deadline, () => {
        if (pending.delete(ref)) settle({ kind: 'deadline' })
      })
      pending.set(ref, (outcome) => {
        untime()
        settle(outcome)
      })
      send(identifier, 'call', tuple2(writeRef(ref), writeText(request)))
      return () => {
        untime()
        pending.delete(ref)
      }
    },
    cast(identifier, request) {
      if (stream === undefined) return false
      send(identifier, 'cast', [TERM, writeText(request)])
      return true
    },
    keepalive() {
      if (stream === undefined) return
      waiting.push(KEEPALIVE)
      next()
    },
    pause: () => void stream?.pause(),
    resume: () => void stream?.resume(),
    close: () => void stream?.destroy(),
  }
}
