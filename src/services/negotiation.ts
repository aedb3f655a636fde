import { LIMITS, type Limits } from '../core/limits.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import type { Extension, Packet, RefusalText, Terms, Work } from '../protocol/erps/messages.ts'
import { openPayload, TERM, tuple2 } from '../protocol/erps/payload.ts'
import { NONCE_BYTES, type Direction } from '../protocol/erps/signature.ts'
import { createSigning, type Nonces, type Signing, type SigningOptions } from './signing.ts'

/** How the two ends of a connection find out that both are Waystations. */
export interface Negotiation {
  readonly isWaystation: boolean
  /** Says hello, where nothing else may leave before it. */
  begin(): void
  /** What goes behind the term of a packet that leaves now. */
  behind(extension: Extension | undefined): Extension | undefined
  /** What it is signed with, where anything is: after `behind`. */
  signature(): ReturnType<Signing['next']> | undefined
  /** Whether a long-form packet that came is signed as it must be. */
  check(packet: Packet): RefusalText | undefined
  /** Reads what stands behind the term of a packet. Gives what is left for the owner: nothing of the negotiation, nothing of one who has not said that he is a Waystation. */
  heard(extension: Extension | undefined): Extension | undefined
  stop(): void
}

export interface NegotiationParts {
  readonly role: Direction
  readonly work: Work | undefined
  readonly signing: SigningOptions | undefined
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly limits: Pick<Limits, 'serviceHandshakeTimeout' | 'serviceKeepalive' | 'serviceDeadline'>
}

export interface NegotiationActs {
  /** Sends a packet before all others that wait. */
  say(type: 'keepalive' | 'reply', parts: readonly Buffer[], extension?: Extension): void
  /** Sends the short keepalive. */
  beat(): void
  /** The other end is a Waystation. */
  shown(work: Work | undefined): void
  /** It has not said so in time, though it must. */
  late(): void
  /** It is one, and has said nothing for `serviceDeadline`. */
  silent(): void
  /** ms since something has come. */
  silence(): number
}

/** ms that a client waits for its first packet to put its hello behind. */
const HELLO_WAIT = 1_000
const NIL = Buffer.of(106)
/** Bytes of a payload that is read before its signature can be checked: the nonce stands in it. */
const MOST_UNCHECKED = 512

/**
 * Whoever connects puts a hello behind the term of its first packet, or into one of its own; whoever accepts answers at once
 * with a welcome. An original ignores both. Where packets are signed, and of a worker, the hello comes first and at once, and
 * an end that does not hear from the other within `serviceHandshakeTimeout` gives it up. Where packets are signed, whoever
 * connects answers the welcome with a packet that says nothing, and counts from there on.
 */
export function createNegotiation({ role, work, signing: options, clock, randomBytes, limits }: NegotiationParts, acts: NegotiationActs): Negotiation {
  const nonces: Nonces = { connector: undefined, acceptor: undefined }
  const signing = options === undefined ? undefined : createSigning(options, role, nonces)
  const hello = role === 'connector' ? { kind: 'hello', nonce: randomBytes(NONCE_BYTES), work } as const : undefined
  const isAwaited = work !== undefined || signing !== undefined
  let hasGreeted = false
  let isWaystation = false
  /** Both nonces are known. */
  let hasMet = false
  /** A hello may be one that was heard elsewhere: what it offers counts when something comes that is signed with the nonce of this end, too. */
  let unproved: { readonly work: Work | undefined } | undefined
  let unbeat = (): void => {}
  let unwatch = (): void => {}
  let ungreet = (): void => {}
  const unwait = isAwaited ? clock.after(limits.serviceHandshakeTimeout, () => void (isWaystation || acts.late())) : undefined

  if (hello !== undefined) {
    nonces.connector = hello.nonce
    if (!isAwaited) ungreet = clock.after(HELLO_WAIT, greet)
  }

  function greet(): void {
    if (!hasGreeted) acts.say('keepalive', [TERM, NIL])
  }

  function rise(theirs: Work | undefined): void {
    isWaystation = true
    unwait?.()
    ungreet()
    unbeat = clock.after(limits.serviceKeepalive, beat)
    unwatch = clock.after(limits.serviceDeadline, watch)
    acts.shown(theirs)
  }

  function beat(): void {
    unbeat = clock.after(limits.serviceKeepalive, beat)
    acts.beat()
  }

  function watch(): void {
    const left = limits.serviceDeadline - acts.silence()
    if (left <= 0) return acts.silent()
    unwatch = clock.after(Math.max(1, Math.ceil(left)), watch)
  }

  /** The first packet of the other end says its nonce, without which nothing can be checked. */
  function learn({ payload }: Packet): boolean {
    if (payload.length > MOST_UNCHECKED) return false
    const extension = extensionOf(payload)
    if (extension?.kind !== (role === 'connector' ? 'welcome' : 'hello')) return false
    nonces[role === 'connector' ? 'acceptor' : 'connector'] = Buffer.from(extension.nonce)
    return true
  }

  function prove({ work: theirs }: { readonly work: Work | undefined }): void {
    unproved = undefined
    rise(theirs)
  }

  function forget(): void {
    if (role === 'connector') nonces.acceptor = undefined
    else nonces.connector = undefined
  }

  return {
    get isWaystation() { return isWaystation },
    begin() {
      if (isAwaited && hello !== undefined) greet()
    },
    behind(extension) {
      if (isWaystation || extension?.kind === 'welcome') return extension
      if (hello === undefined) return undefined
      const terms = extension?.kind === 'terms' ? extension : undefined
      // Whom this goes to is not known yet: what a hub would take for something else must be said all the same.
      if (hasGreeted) return terms === undefined || isUsual(terms) ? undefined : terms
      hasGreeted = true
      ungreet()
      return terms === undefined ? hello : { ...hello, terms }
    },
    // Whom nobody knows yet is told in plain words that he is refused.
    signature: () => (nonces.connector === undefined ? undefined : signing?.next()),
    check(packet) {
      if (signing === undefined) return undefined
      if (!hasMet && !learn(packet)) return 'authentication required'
      const wrong = signing.check(packet)
      if (wrong !== undefined && !hasMet) forget()
      if (wrong === undefined && unproved !== undefined) prove(unproved)
      return wrong
    },
    heard(extension) {
      switch (extension?.kind) {
        case 'hello': {
          if (role !== 'acceptor' || hasMet) return undefined
          const nonce = randomBytes(NONCE_BYTES)
          nonces.acceptor = nonce
          hasMet = true
          acts.say('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce })
          if (signing === undefined) rise(extension.work)
          else unproved = extension
          return extension.terms
        }
        case 'welcome':
          if (role !== 'connector' || !hasGreeted || hasMet) return undefined
          hasMet = true
          if (signing !== undefined) acts.say('keepalive', [TERM, NIL])
          rise(undefined)
          return undefined
        default: return isWaystation ? extension : undefined
      }
    },
    stop() {
      unwait?.()
      ungreet()
      unbeat()
      unwatch()
    },
  }
}

/** Whether a hub that is told nothing does the same; what nobody waits for any more it is told later. */
function isUsual({ deadline, times, key }: Terms): boolean {
  return deadline <= LIMITS.callTimeout.default && times === 'once' && key === undefined
}

function extensionOf(payload: Buffer): Extension | undefined {
  try {
    return openPayload(payload, { maxBytes: MOST_UNCHECKED }).extension
  } catch {
    return undefined
  }
}
