import type { Vitals } from './vitals.ts'

/*
 * What is said over the control socket: the caller sends one line, `{"ask":"status"}` or `{"ask":"watch"}`, and gets one
 * line of JSON, or one at once and another each second until it closes. Nobody but the hub's own user is let in.
 */

/** The file in the data folder. */
export const CONTROL_FILE = 'waystation.sock'

/** What the control socket gives to its callers at most. They are the user's own programs, which may be broken. */
export const CONTROL_BOUNDS = {
  /** Callers at once. */
  clients: 16,
  /** Bytes of the one question. */
  questionBytes: 1_024,
  /** ms for the question. */
  questionTime: 5_000,
  /** Snapshots in a row that a caller may leave unread before it is let go; meanwhile it is sent none. */
  unread: 10,
  /** Topics in a snapshot. */
  topics: 20,
  /** Characters of one topic in it. */
  topicLength: 200,
  /** Log lines in it. */
  lines: 50,
  /** Links in a status. */
  links: 100,
  /** Services in it, and daemons of one that are down. */
  services: 100,
  down: 10,
} as const

/** How the hub is. */
export interface Status {
  readonly type: 'status' | 'snapshot'
  readonly pid: number
  /** Within which the process id counts, where there are such spaces: in a container the same number is another process. */
  readonly pidSpace: string | null
  readonly version: string
  /** ISO 8601. */
  readonly since: string
  /** As a client writes it; null before the hub listens. */
  readonly address: string | null
  /** Whether it has been told to stop. */
  readonly stopping: boolean
  /** ms that stopping may take. */
  readonly drainTime: number
  /** Open long-lived connections by transport. */
  readonly connections: Readonly<Record<string, number>>
  readonly database: 'available' | 'unavailable' | 'none'
  /** The links that it takes topics by, the first ones. */
  readonly links: readonly LinkStatus[]
  /** Services, the first ones. */
  readonly services: readonly ServiceStatus[]
}

export interface ServiceStatus {
  readonly name: string
  /** Daemons that the hub calls included. */
  readonly workers: number
  /** Calls that they have, and that wait for one of them. */
  readonly running: number
  readonly waiting: number
  /** Daemons of it that the hub cannot call now, and why. */
  readonly down?: readonly string[]
}

export interface LinkStatus {
  /** Where it goes. */
  readonly name: string
  readonly state: 'up' | 'down'
  /** Why it is down. */
  readonly why?: string
}

export interface TopicTraffic {
  readonly topic: string
  /** Messages a second. */
  readonly rate: number
  readonly subscribers: number
}

/** What a hub is doing. */
export interface Snapshot extends Status {
  readonly type: 'snapshot'
  /** ISO 8601. */
  readonly time: string
  /** Messages a second that came in and that were written, once for each connection; null in the first, which is of one moment. */
  readonly rates: { readonly in: number; readonly out: number } | null
  /** The busiest first. Of topics that nobody publishes to nothing is known. */
  readonly topics: readonly TopicTraffic[]
  readonly webhooks: ReturnType<Vitals['webhooks']>
  /** The last lines of the log, as they were written. */
  readonly log: readonly string[]
}
