import type { ClaimedNotice, DomainNews, KeyRow, NewKey, Notice, Stored, Wanted } from '../../core/registry.ts'

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
  | { readonly do: 'watchDomains' }
  /** Tells what was not told yet, whoever has written it. */
  | { readonly do: 'look' }
  | { readonly do: 'keysOf'; readonly domains: readonly string[] }
  | { readonly do: 'keysAfter'; readonly after: number; readonly most: number }
  | { readonly do: 'addKey'; readonly key: NewKey; readonly now: number }
  | { readonly do: 'changeKey'; readonly domain: string; readonly change: { readonly sha256?: Uint8Array; readonly active?: boolean } }
  | { readonly do: 'removeKey'; readonly domain: string }
  /** The next piece of the snapshot of this number, which is opened for the first: piece 0. */
  | { readonly do: 'everything'; readonly snapshot: number; readonly piece: number; readonly now: number }
  /** Nobody asks for more of it. */
  | { readonly do: 'enough'; readonly snapshot: number }
  | { readonly do: 'restore'; readonly things: readonly Stored[]; readonly now: number }
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
  readonly watchDomains: undefined
  readonly look: undefined
  readonly keysOf: readonly KeyRow[]
  readonly keysAfter: readonly KeyRow[]
  readonly addKey: boolean
  readonly changeKey: boolean
  readonly removeKey: boolean
  /** Empty at the end. */
  readonly everything: readonly Stored[]
  readonly enough: undefined
  /** How many were put in. */
  readonly restore: number
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
export type RegistrationNews =
  /** The numbers of all that there are, rising: whatever else was told is gone. */
  | { readonly all: Float64Array<ArrayBuffer> }
  /** Packed: these have changed, or come, or gone. */
  | { readonly rows: Uint8Array<ArrayBuffer> }

/** Of registrations, or of API keys: these are to be told as they are. */
export type News = RegistrationNews | { readonly domains: DomainNews }

/** What changes are told of. */
export type Listened = 'registrations' | 'domains'

/** What the thread says: what has changed, or what became of calls whose changes it has said before. */
export type Report =
  | { readonly news: News }
  | { readonly outcomes: readonly Outcome[] }
  /** Whether the database can be asked, when that is not as it was. */
  | { readonly available: boolean }

export interface WorkerOptions {
  /** A path, or `:memory:`. */
  readonly file: string
  readonly busyTimeout: number
  readonly pollInterval: number
  /** When the machine was started, in ms since 1970. */
  readonly bootTime: number
  /** What is to be told from the beginning, without a `start`: somebody listened to the thread before. */
  readonly listening: readonly Listened[]
}
