import type { Limits } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { HEAD_BYTES, type Extension, type Packet, type Referred } from '../protocol/erps/messages.ts'
import { LONGEST_KEY } from '../protocol/erps/extension.ts'
import { readRef, splitError, splitReply, TERM, tuple2, writeRef, writeText } from '../protocol/erps/payload.ts'
import { createDeadlines, type Bucket } from './deadlines.ts'
import { unsent } from './held.ts'
import type { Bare, Caller, Connection, Ending, Outcome, Sent } from './ports.ts'

/** A caller that is told what comes over its connection. */
export interface ServiceCaller extends Caller {
  packet(packet: Packet, extension: Extension | undefined): void
  ended(why: Ending, detail: string): void
}

export interface CallerParts {
  readonly clock: Clock
  readonly limits: Pick<Limits, 'maxCallsPerConnection' | 'maxServicePendingBytes'>
  /** A push has come. */
  readonly pushed?: (term: Bare) => void
  /** How many refs there are, more than `maxCallsPerConnection`: those of an original, 2^27 (`erps.md`, 3), where it is not stated. */
  readonly refs?: number
}

interface Pending {
  readonly ref: number
  readonly sent: Sent
  readonly settle: (outcome: Outcome) => void
  bucket: Bucket<Pending> | undefined
}

const REFS = 2 ** 27
const NIL = Buffer.of(106)
const CANCEL = { extension: { kind: 'cancel' } } as const
/** Bytes of a packet beside its request: header, tuple, ref, extension. */
const AROUND = HEAD_BYTES + 32

/**
 * Calls and casts over one connection (`erps.md`, sections 3, 6.2 and 9.2). A call settles by its deadline (see `Deadlines`),
 * whatever the other end does; a call whose packet never leaves is `unsent`, and nobody has done it. An answer to nothing
 * that waits is counted and left alone. Where the other end says that it refuses this one, all that wait end at once: those
 * that have left have `failed` for the reason `service_refused`.
 */
export function createCaller(connection: Connection, { clock, limits, pushed, refs = REFS }: CallerParts): ServiceCaller {
  const pending = new Map<number, Pending>()
  const deadlines = createDeadlines<Pending>(clock, (one) => {
    if (giveUp(one)) one.settle({ kind: 'deadline' })
  })
  let lastRef = refs - 1
  let late = 0
  let over: { readonly code: 'disconnected' | 'service_refused'; readonly detail: string } | undefined

  function newRef(): number {
    do lastRef = (lastRef + 1) % refs
    while (pending.has(lastRef))
    return lastRef
  }

  function hasRoom(bytes: number): boolean {
    const { pendingBytes } = connection
    return pendingBytes === 0 || pendingBytes + bytes + AROUND <= limits.maxServicePendingBytes
  }

  /** Gives whether it was waiting. */
  function forget(one: Pending): boolean {
    one.bucket?.delete(one)
    return pending.get(one.ref) === one && pending.delete(one.ref)
  }

  /** Nobody waits for it any more. Gives whether somebody did. */
  function giveUp(one: Pending): boolean {
    if (!forget(one)) return false
    if (one.sent.withdraw()) return true
    connection.answered()
    if (connection.isWaystation && hasRoom(0)) connection.send('keepalive', tuple2(writeRef(one.ref), NIL), CANCEL)
    return true
  }

  function answer(referred: Referred | undefined, kind: 'answer' | 'failed'): void {
    const ref = referred === undefined ? undefined : readRef(referred.ref)
    const one = ref === undefined ? undefined : pending.get(ref)
    // Nobody can answer what he has not been asked.
    if (referred === undefined || one === undefined || !one.sent.hasLeft) return void late++
    forget(one)
    connection.answered()
    one.settle(kind === 'answer' ? { kind, term: referred.term } : { kind, reason: referred.term })
  }

  function outcomeOf(sent: Sent): Outcome {
    const { code, detail } = over ?? { code: 'disconnected', detail: '' }
    if (sent.withdraw()) return { kind: 'unsent', code, detail }
    return code === 'service_refused' ? { kind: 'failed', reason: writeText(code) } : { kind: 'lost', detail }
  }

  return {
    get pending() { return pending.size },
    get late() { return late },
    call({ request, deadline, identifier, times = 'once', key }, settle) {
      if (over !== undefined || connection.isOver) return unsent(clock, over?.code ?? 'disconnected', over?.detail ?? '', settle)
      if (pending.size >= limits.maxCallsPerConnection) return unsent(clock, 'too_many_calls', `${pending.size} calls of one connection are not answered`, settle)
      if (!hasRoom(request.length)) return unsent(clock, 'too_many_calls', `${connection.pendingBytes} bytes wait for one connection`, settle)
      const ref = newRef()
      const extension: Extension = { kind: 'terms', deadline, times, key: kept(key) }
      const sent = connection.send('call', tuple2(writeRef(ref), request), identifier === undefined ? { extension } : { extension, identifier })
      if (connection.isOver) return unsent(clock, 'disconnected', '', settle)
      const one: Pending = { ref, sent, settle, bucket: undefined }
      pending.set(ref, one)
      one.bucket = deadlines.add(one, deadline)
      return () => void giveUp(one)
    },
    cast(request, identifier, key) {
      if (over !== undefined || connection.isOver || !hasRoom(request.length)) return false
      const extension: Extension | undefined = kept(key) === undefined ? undefined : { kind: 'terms', deadline: 0, times: 'once', key }
      connection.send('cast', [TERM, request], { ...(identifier !== undefined && { identifier }), ...(extension !== undefined && { extension }) })
      return !connection.isOver
    },
    packet(packet) {
      if (over !== undefined) return
      const bare = packet.payload.subarray(TERM.length)
      switch (packet.type) {
        case 'reply': return answer(splitReply(bare), 'answer')
        case 'error': {
          // A text that is not of 6.1, such as `filtered`, does not say which call it is about: that ends by its deadline.
          const referred = splitError(bare)
          return referred === undefined ? undefined : answer(referred, 'failed')
        }
        case 'push': return pushed?.(bare)
        case 'keepalive': case 'call': case 'cast': return
        default: return packet.type satisfies never
      }
    },
    ended(why, detail) {
      if (over !== undefined) return
      over = { code: why === 'refused' ? 'service_refused' : 'disconnected', detail }
      deadlines.stop()
      const all = [...pending.values()]
      // What waits is taken back before anybody hears of it: a connection may still send what it has.
      const outcomes = all.map(({ sent }) => outcomeOf(sent))
      // Whoever is told may give up others.
      for (const [at, one] of all.entries()) if (forget(one)) one.settle(outcomes[at] as Outcome)
    },
  }
}

/** A key that is too long for the wire, or empty, chooses nothing. */
function kept(key: Buffer | undefined): Buffer | undefined {
  return key === undefined || key.length === 0 || key.length > LONGEST_KEY ? undefined : key
}
