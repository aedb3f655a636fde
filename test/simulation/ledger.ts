import type { Interest } from '../../src/core/interest.ts'
import type { Cursor } from '../../src/core/cursor.ts'
import type { Topic } from '../../src/core/topic.ts'
import type { Heard } from './wire.ts'

/** One attempt to publish, as its publisher knows it. Steps count everything that happens in a world, one by one. */
export interface Publication {
  /** Stands at the beginning of the body. */
  readonly id: string
  readonly topic: Topic
  readonly body: Buffer
  readonly epoch: string
  readonly step: number
  readonly time: number
  /** `open` until it is answered; for ever when the hub went down meanwhile. */
  outcome: 'open' | 'taken' | 'refused'
  /** From the receipt. */
  offset: number | undefined
  answeredStep: number
  answeredTime: number
  /** How many receivers the receipt speaks of, and who they must be; `undefined` where that cannot be known. */
  told: number
  readonly receivers: readonly string[] | undefined
}

/** Something that was lost on its way to a hub. */
export interface Loss {
  readonly id: string
  readonly lost: Interest
  readonly epoch: string
  readonly step: number
  /** From whoever hears of everything; it has none when the hub went down before. */
  offset: number | undefined
  announcedStep: number
}

/** A loss that has its place. */
export type PlacedLoss = Loss & { offset: number }

export type Got = Heard & { readonly step: number; readonly time: number }

/** One connection, as its client knows it. */
export interface Session {
  readonly name: string
  readonly interest: Interest
  readonly after: Cursor | undefined
  /** Of the hub that it is connected to. */
  readonly epoch: string
  readonly step: number
  readonly time: number
  /** Whether it reads so slowly that it may be let go. */
  readonly slow: boolean
  readonly got: Got[]
  ended: { readonly by: 'client' | 'hub'; readonly reason: string } | undefined
}

/** All that clients sent and got in one world, and nothing else: what the promises are checked on. */
export interface Ledger {
  readonly publications: Publication[]
  readonly losses: Loss[]
  readonly sessions: Session[]
}

export function idIn(body: Buffer): string {
  return body.toString('latin1', 0, body.indexOf(' '))
}
