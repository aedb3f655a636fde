import type { HubPort } from '../core/ports.ts'
import type { LinkView } from '../links/ports.ts'
import type { PoolView } from '../services/pool.ts'
import type { OutboundView } from './service-links.ts'

/** What a running hub lets its own process see of it, beyond what it shows to a program. */
export interface Vitals {
  readonly hub: Pick<HubPort, 'joinAll' | 'audience'>
  /** Whether it has been told to stop. */
  readonly stopping: boolean
  /** Whether the database answers; undefined when the hub has none. */
  readonly database: boolean | undefined
  /** Open long-lived connections by transport. */
  connections(): Readonly<Record<string, number>>
  /** Links that it takes topics by. */
  links(): readonly LinkView[]
  /** Services that it knows, with their workers. */
  services(): readonly PoolView[]
  /** Daemons that it calls for them. */
  outbound(): readonly OutboundView[]
  webhooks(): { readonly registrations: number; readonly running: number; readonly waiting: number }
  /** Messages since the start: how many came in, and how many were written, once for each connection. */
  totals(): { readonly in: number; readonly out: number }
}
