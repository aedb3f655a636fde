import { hash } from 'node:crypto'
import { macOf, prove } from '../../../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../../../src/protocol/lonelyps/claims.ts'
import { pseudoUrl } from '../../../../src/protocol/lonelyps/stateful/connection.ts'
import type { ToBroadcaster } from '../../../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { compress } from '../../../../src/protocol/lonelyps/zstd.ts'
import type { Session } from '../../../../src/transports/lonelyps/socket/session.ts'
import type { Chance } from '../../../simulation/chance.ts'
import type { Flying, ModelSocket } from './model-socket.ts'
import { PRESET, type Plan } from './plan.ts'
import { createReader, type Reader } from './reader.ts'
import type { Kind, Packed, Proof, Said } from './said.ts'
import { createFakeWire, type FakeWire } from './wire.ts'
import type { World } from './world.ts'

export interface Frame {
  readonly bytes: Buffer
  readonly binary: boolean
  readonly said: Said
}

/** How well something is said: 'wrong' is a proof that proves something else, or nothing. */
export type Quality = 'right' | 'wrong'

/** The far end of one socket: makes frames, and knows of each what it says. */
export interface Peer {
  readonly session: Session
  readonly wire: FakeWire
  readonly model: ModelSocket
  readonly reader: Reader
  /** Frames on their way: while the hub reads nothing they wait here. */
  readonly tcp: Frame[]
  /** Sent, that it may be sent once more. */
  readonly sent: Frame[]
  /** A stream of its own that has begun: what is left of it. */
  stream: { readonly identifier: Buffer; readonly packed: Packed; readonly parts: Buffer[]; next: number } | undefined
  /** It has mixed up its streams: another part could not be foretold. */
  spoiled: boolean
  /** Parts that came and were acknowledged, counted. */
  acknowledged: number
  configure(quality: Quality, zstd: boolean, training: boolean, initial: number): Frame
  want(is: 'subscribe' | 'unsubscribe', kind: Kind, target: Buffer, quality: Quality): Frame
  pack(topic: Buffer, plain: Buffer, compressor: number, lie: 'none' | 'size' | 'bytes'): { readonly packed: Packed; readonly body: Buffer }
  notify(packed: Packed, body: Buffer, quality: Quality): Frame
  part(identifier: Buffer, part: number, packed: Packed, body: Buffer, quality: Quality): Frame
  ack(of: Flying, quality: Quality): Frame
  wrong(bytes: Buffer, binary: boolean): Frame
}

const NONE = Buffer.alloc(0)
const HOUR = 3_600_000

export function createPeer(plan: Plan, world: World, model: ModelSocket, chance: Chance): Peer {
  const wire = createFakeWire()
  const ownNonce = plan.bytes(32)
  const reader = createReader(plan, model, ownNonce, world.clock)
  const form = chance.odds(0.5) ? 'minimal' : 'expanded'
  let counter = -1

  function proof(claim: (url: string) => Claim, quality: Quality, counted: 'bound' | 'free'): { header: string | undefined; proof: Proof } {
    const { toBroadcasters: scheme } = plan
    const url = counted === 'bound' ? pseudoUrl(reader.nonce, counter--) : ''
    const right = { right: true, mac: undefined, url }
    const wrong = { right: false, mac: undefined, url }
    const at = (now: number): { now: number; nonce: string } => ({ now: Math.floor(now / 1_000), nonce: plan.bytes(4).toString('hex') })
    const now = world.clock.now()
    switch (scheme.type) {
      case 'none': return { header: quality === 'right' ? undefined : 'whatever', proof: right }
      case 'token': return quality === 'right' ? { header: prove(scheme, claim(url), at(now)), proof: right } : { header: chance.pick([undefined, 'Bearer of nothing']), proof: wrong }
      case 'hmac': {
        if (quality === 'wrong') return { header: chance.pick([undefined, 'X', prove(scheme, claim(`${url}0`), at(counted === 'bound' ? now : now - HOUR)), prove(scheme, claim(url), at(now + HOUR))]), proof: wrong }
        const header = prove(scheme, claim(url), at(now))
        if (counted === 'bound') return { header, proof: right }
        const mac = (macOf(header) as Buffer).toString('hex')
        world.fates.set(mac, !chance.odds(plan.moody) ? 'new' : chance.odds(plan.illegal) ? chance.pick(['known', 'lost']) : 'slow')
        return { header, proof: { right: true, mac, url } }
      }
      default: return scheme satisfies never
    }
  }

  function frame(message: ToBroadcaster, said: Said): Frame {
    const body = 'body' in message ? message.body : NONE
    return { bytes: Buffer.concat([encodeToBroadcaster(message, form), body]), binary: true, said }
  }

  const head = ({ topic, compressor, length, sha512, plain }: Packed): { topic: Buffer; compressor: number; compressedLength: bigint; decompressedLength: bigint; sha512: Buffer } =>
    ({ topic, compressor, compressedLength: BigInt(length), decompressedLength: compressor === 0 ? BigInt(length) : BigInt(plain.length), sha512 })

  return {
    wire, model, reader,
    session: world.connect(wire, '192.0.2.7'),
    tcp: [], sent: [], stream: undefined, spoiled: false, acknowledged: 0,
    configure(quality, zstd, training, initial) {
      const said = { nonce: ownNonce, zstd, training, initialDictionary: initial, tracing: NONE }
      const { header, proof: proven } = proof(() => claims.configure(said), quality, 'free')
      return frame({ type: 'configure', ...said, authorization: header }, { is: 'configure', proof: proven, zstd, initial })
    },
    want(is, kind, target, quality) {
      const tracing = chance.odds(0.1) ? Buffer.from('a trace') : NONE
      const { header: authorization, proof: proven } = proof((url) => (kind === 'exact' ? claims.subscribeExact({ url, recovery: undefined, topic: target, tracing }) : claims.subscribeGlob({ url, recovery: undefined, glob: target, tracing })), quality, 'bound')
      const said: Said = { is, kind, target, proof: proven }
      return kind === 'exact' ? frame({ type: `${is}_exact`, topic: target, tracing, authorization }, said) : frame({ type: `${is}_glob`, glob: target, tracing, authorization }, said)
    },
    pack(topic, plain, compressor, lie) {
      const body = compressor === 0 ? plain : compress(plain, 3, compressor === PRESET.id ? PRESET.bytes : undefined)
      const sha512 = hash('sha512', lie === 'bytes' ? Buffer.concat([body, body, Buffer.of(1)]) : body, 'buffer')
      // A lie about the size can only be told of what is compressed.
      const stated = lie === 'size' && compressor !== 0 ? Buffer.concat([plain, Buffer.of(1)]) : plain
      return { packed: { topic, compressor, length: body.length, sha512, plain: stated, good: lie !== 'bytes' && stated === plain }, body }
    },
    notify(packed, body, quality) {
      const identifier = plan.bytes(chance.pick([0, 4, 4, 32]))
      const { header, proof: proven } = proof(() => claims.notify({ topic: packed.topic, identifier, sha512: packed.sha512, tracing: NONE }), quality, 'free')
      const isWrong = !packed.sha512.equals(hash('sha512', body, 'buffer'))
      return frame({ type: 'notify', identifier, tracing: NONE, authorization: header, head: head(packed), body }, isWrong ? { is: 'wrong' } : { is: 'notify', proof: proven, identifier, packed })
    },
    part(identifier, part, packed, body, quality) {
      const { header, proof: proven } = proof(() => claims.notify({ topic: packed.topic, identifier, sha512: packed.sha512, tracing: NONE }), quality, 'free')
      return frame(
        { type: 'notify_stream', identifier, part, tracing: NONE, authorization: header, head: part === 0 ? head(packed) : undefined, body },
        { is: 'part', proof: proven, identifier, part, packed: part === 0 ? packed : undefined, size: body.length },
      )
    },
    ack({ identifier, part, isLast }, quality) {
      const tracing = NONE
      const { header: authorization, proof: proven } = proof((url) => (isLast ? claims.confirmReceive({ url, identifier, subscribers: 1, tracing }) : claims.continueReceive({ url, identifier, part, tracing })), quality, 'bound')
      const said: Said = { is: 'ack', proof: proven, identifier, part: isLast ? undefined : part }
      return isLast ? frame({ type: 'confirm_receive', identifier, subscribers: 1, tracing, authorization }, said) : frame({ type: 'continue_receive', identifier, part, tracing, authorization }, said)
    },
    wrong: (bytes, binary) => ({ bytes, binary, said: { is: 'wrong' } }),
  }
}
