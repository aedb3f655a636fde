import type { Clock, Confirmations, HubPort, Random, RandomBytes } from '../../../core/ports.ts'
import type { Slices } from '../../../core/slices.ts'
import type { TransportKit } from '../../../core/transport-kit.ts'
import type { BodyAccount } from '../../../http/body-account.ts'
import type { Spool } from '../../../http/spool.ts'
import type { Checker } from '../../../protocol/lonelyps/authorization.ts'
import type { Prover } from '../../../protocol/lonelyps/prover.ts'
import type { HeaderForm } from '../../../protocol/lonelyps/stateful/messages.ts'
import type { Dictionary } from '../../../protocol/lonelyps/zstd.ts'
import type { SharedCompression } from './shared-compression.ts'
import type { Relaying } from './interests.ts'
import type { SocketMemory } from './memory.ts'
import type { TrainingBudget } from './training-budget.ts'
import type { Wanted } from './wanted.ts'

/** How messages to sockets are compressed. */
export interface CompressionSettings {
  readonly allowed: 'yes' | 'no'
  readonly training: 'yes' | 'no'
  /** Dictionaries that clients have too, by their number. */
  readonly presets: ReadonlyMap<number, Dictionary>
}

/** What all sockets of a hub have in common. */
export interface SocketParts {
  readonly kit: TransportKit
  readonly hub: HubPort
  readonly clock: Clock
  readonly random: Random
  readonly randomBytes: RandomBytes
  readonly spool: Spool
  readonly bodies: BodyAccount
  readonly confirmations: Confirmations
  readonly checker: Checker
  readonly prover: Prover
  /** The authorization of every message, where it is always the same; '' for none. */
  readonly sameForAll: string | undefined
  /** Whether acknowledgements are signed: part numbers above 255 cannot be then. */
  readonly acknowledged: 'signed' | 'unsigned'
  readonly form: HeaderForm
  readonly compression: CompressionSettings
  readonly shared: SharedCompression
  readonly budget: TrainingBudget
  readonly memory: SocketMemory
  readonly wanted: Wanted
  /** Tells sockets what is lost. */
  readonly tellings: Slices
  readonly relaying: Relaying | undefined
  /** Why a socket ended, for the log. */
  readonly ended: (address: string, reason: string) => void
  readonly failed: (error: unknown) => void
}
