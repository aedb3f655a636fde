import type { Packet, RefusalText } from './messages.ts'
import type { Requirement } from './versions.ts'

export interface Judgement {
  /** What packets have to bear, byte for byte. Not checked where it is not stated. */
  readonly identifier?: Buffer | undefined
  /** What versions have to satisfy. Not checked where it is not stated. */
  readonly requirement?: Requirement | undefined
  /** `required`: that there is a signature. Whether it is right takes what only the connection knows. */
  readonly signed: 'refused' | 'required'
}

/**
 * Whether an answerer takes a packet, before its payload is looked at (`erps.md`, 6.1). The first thing wrong is what is
 * told. The short keepalive is never checked.
 * @returns the text of the refusal; `undefined` when it is taken
 */
export function judge(packet: Packet, { identifier, requirement, signed }: Judgement): RefusalText | undefined {
  if (packet.type === 'keepalive' && packet.payload.length === 0) return undefined
  if (identifier !== undefined && !identifier.equals(packet.identifier)) return 'wrong identifier'
  if (requirement !== undefined && !requirement.matches(packet.version)) return 'incompatible version'
  switch (signed) {
    case 'refused': return isZero(packet.key) && isZero(packet.signature) ? undefined : 'authentication provided'
    case 'required': return isZero(packet.key) || isZero(packet.signature) ? 'authentication required' : undefined
    default: return signed satisfies never
  }
}

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}
