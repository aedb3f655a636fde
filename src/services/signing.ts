import type { Packet, RefusalText } from '../protocol/erps/messages.ts'
import type { Signing as SignedWith } from '../protocol/erps/packet.ts'
import { contextOf, isSignedWith, keyField, type Direction } from '../protocol/erps/signature.ts'
import type { SigningKey } from './ports.ts'

/** Both ends have the same keys. What is sent is signed with the first; what comes may be signed with any. */
export interface SigningOptions {
  readonly keys: readonly [SigningKey, ...SigningKey[]]
}

/** Signs and checks the long-form packets of one connection, so that none can be made up, changed, replayed, reflected, reordered or left out. */
export interface Signing {
  /** What the next packet that leaves is signed with. To be called once for each, in their order. */
  next(): SignedWith
  /** Whether this is the next packet of the other end. To be called once for each, in their order. */
  check(packet: Packet): RefusalText | undefined
}

export interface Nonces {
  /** Of whoever has connected; of whoever has accepted. Known one after the other. */
  connector: Buffer | undefined
  acceptor: Buffer | undefined
}

/** @throws {RangeError} for a key whose id cannot be written */
export function createSigning({ keys }: SigningOptions, own: Direction, nonces: Readonly<Nonces>): Signing {
  const secrets = keys.map(({ id, secret }) => ({ key: keyField(id), secret }))
  const first = secrets[0] as (typeof secrets)[number]
  let sent = 0
  let heard = 0

  function context(direction: Direction, counter: number): Buffer {
    const { connector, acceptor } = nonces
    if (connector === undefined) throw new Error('nothing is signed before the hello')
    return contextOf({ direction, connectorNonce: connector, acceptorNonce: acceptor, counter })
  }

  return {
    next: () => ({ ...first, context: context(own, sent++) }),
    check(packet) {
      const known = secrets.find(({ key }) => key.equals(packet.key))
      if (known === undefined) return isZero(packet.key) ? 'authentication required' : 'wrong signature'
      const isRight = isSignedWith(packet, known.secret, context(own === 'connector' ? 'acceptor' : 'connector', heard++))
      return isRight ? undefined : 'wrong signature'
    },
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}
