import type { ClaimedNotice, Notice, Wanted } from '../../core/registry.ts'

/** What the registry asks of the thread that holds the database. Values are copied on the way; `now` is the asker's clock. */
export type Call =
  | { readonly do: 'start' }
  | { readonly do: 'add'; readonly url: string; readonly wanted: Wanted; readonly now: number }
  | { readonly do: 'remove'; readonly url: string; readonly wanted: Pick<Wanted, 'kind' | 'target'> }
  | { readonly do: 'removeId'; readonly id: number }
  | { readonly do: 'set'; readonly url: string; readonly wanted: readonly Uint8Array<ArrayBuffer>[]; readonly now: number }
  | { readonly do: 'list'; readonly url: string }
  | { readonly do: 'remember'; readonly signature: Uint8Array; readonly expiresAt: number; readonly signedAt: number; readonly now: number }
  | { readonly do: 'forget'; readonly signature: Uint8Array; readonly now: number }
  | { readonly do: 'postpone'; readonly notice: Notice }
  | { readonly do: 'claim'; readonly lock: string; readonly now: number; readonly lockMs: number; readonly most: number }
  | { readonly do: 'settle'; readonly id: number; readonly lock: string; readonly next: Pick<Notice, 'attempts' | 'dueAt'> | undefined }
  | { readonly do: 'hubSecret'; readonly fresh: Uint8Array }
  | { readonly do: 'close' }

export type SignatureCall = Extract<Call, { do: 'remember' | 'forget' }>

export interface Answers {
  readonly start: undefined
  readonly add: boolean
  readonly remove: boolean
  readonly removeId: boolean
  readonly set: undefined
  /** Packed. */
  readonly list: readonly Uint8Array<ArrayBuffer>[]
  readonly remember: boolean
  readonly forget: undefined
  readonly postpone: undefined
  readonly claim: readonly ClaimedNotice[]
  readonly settle: undefined
  readonly hubSecret: Uint8Array
  readonly close: undefined
}

export type Answer = Answers[keyof Answers]

export interface Request {
  readonly id: number
  readonly call: Call
}

export type Outcome =
  | { readonly id: number; readonly ok: true; readonly answer: Answer }
  | { readonly id: number; readonly ok: false; readonly detail: string; readonly cause: unknown }

/** What the main thread is to compare with what it has told. */
export type News =
  /** The numbers of all that there are, rising: whatever else was told is gone. */
  | { readonly all: Float64Array<ArrayBuffer> }
  /** Packed: these have changed, or come, or gone. */
  | { readonly rows: Uint8Array<ArrayBuffer> }

/** What the thread says: what has changed, or what became of calls whose changes it has said before. */
export type Report =
  | { readonly news: News }
  | { readonly outcomes: readonly Outcome[] }

export interface WorkerOptions {
  /** A path, or `:memory:`. */
  readonly file: string
  readonly busyTimeout: number
  readonly pollInterval: number
  /** When the machine was started, in ms since 1970. */
  readonly bootTime: number
  /** Whether changes are to be told from the beginning, without a `start`: somebody listened to the thread before. */
  readonly listening: 'yes' | 'no'
}
