import type { Topic } from './topic.ts'

/** What somebody asked to be called for: every message of one topic, or of the topics that a glob matches. */
export interface Wanted {
  readonly kind: 'exact' | 'glob'
  /** The topic, or the glob's text. */
  readonly target: Topic
  /** The url that is told when a message could not be delivered. */
  readonly recovery: string | undefined
}

/** A subscription that keeps no connection open: the url gets what the target carries. */
export interface Registration extends Wanted {
  /** Never given twice. */
  readonly id: number
  readonly url: string
}

export type RegistryChange =
  /** A new one; with the id of one that is there, its recovery url has changed. */
  | { readonly type: 'added'; readonly registration: Registration }
  | { readonly type: 'removed'; readonly id: number }

/** A notice that a message was missed, to be sent to the recovery url of a registration. Times in ms since 1970. */
export interface Notice {
  readonly id: number
  /** The topic of the message that was missed. */
  readonly topic: Topic
  /** How often the notice has been sent without success. */
  readonly attempts: number
  readonly dueAt: number
}

/** A notice that is ours to send until the lock runs out. */
export interface ClaimedNotice extends Notice {
  readonly registration: Registration
  readonly lock: string
}

/** A row of the table of API keys (wspubsub, section 7). */
export interface KeyRow {
  readonly id: number
  /** What the key lets publish under. */
  readonly domain: string
  /** Whose it is; it decides nothing. */
  readonly username: string
  /** The key as it is, where whoever made the row has stored it so. */
  readonly apikey: string | undefined
  /** The SHA-256 of the key, where it is ours. A row that has it is asked for nothing else. */
  readonly sha256: Buffer | undefined
  /** In ms since 1970. */
  readonly insertedAt: number
  readonly active: boolean
}

/** A row that is to be made: with the hash of a key, or with the key as it came from another database. */
export type NewKey = Pick<KeyRow, 'domain' | 'username' | 'apikey' | 'sha256'> & Partial<Pick<KeyRow, 'insertedAt' | 'active'>>

export interface DomainNews {
  /** Whether these are all domains that there are: whatever else was told has no row now. */
  readonly all: boolean
  /** Domains whose rows have changed, or came, or went, each with whether it has a row now, active or not. */
  readonly domains: readonly (readonly [domain: string, isThere: boolean])[]
}

/**
 * The table of API keys, in the same database. It may be a table that was there before, which others write. Domains of up
 * to 64 signs, user names of 254 and keys of 36 are always taken; where the table has no room for more, what is longer is
 * refused with `registry_unavailable`. No text in it holds a NUL or a lone surrogate. Texts are told apart by letter case.
 */
export interface KeyTable {
  /**
   * Tells of all domains that have a row, and from then on of every change, whoever made it: one made through this object
   * before its promise settles, one made elsewhere within two seconds. Settles when what is there has been told.
   */
  watchDomains(told: (news: DomainNews) => void): Promise<void>
  /** All rows of these domains, read from the database now. */
  keysOf(domains: readonly string[]): Promise<readonly KeyRow[]>
  /** Up to `most` rows with ids past `after`, in the order of their ids. */
  keysAfter(after: number, most: number): Promise<readonly KeyRow[]>
  /** False when the domain has a row already, or the key is another domain's; nothing is changed then. Active unless stated otherwise. */
  addKey(key: NewKey): Promise<boolean>
  /** Changes the row of a domain; with a hash, the key as it was is gone. False when there is none, or the hash is another domain's; nothing is changed then. */
  changeKey(domain: string, change: { readonly sha256?: Buffer; readonly active?: boolean }): Promise<boolean>
  /** False when there is none. */
  removeKey(domain: string): Promise<boolean>
}

/** One thing that a registry keeps, as it goes from one database to another. Numbers of rows do not go with it. */
export type Stored =
  | ({ readonly type: 'registration'; readonly url: string } & Wanted)
  | ({ readonly type: 'notice'; readonly url: string } & Pick<Wanted, 'kind' | 'target'> & Omit<Notice, 'id'>)
  | ({ readonly type: 'key' } & Omit<KeyRow, 'id'>)
  | { readonly type: 'hubSecret'; readonly secret: Uint8Array }
  /** The first 16 bytes of a signature that was used and has not run out. */
  | { readonly type: 'signature'; readonly code: Uint8Array; readonly expiresAt: number }

/**
 * The SQL truth about durable subscriptions and API keys, shared by every hub that opens the same database.
 *
 * Every method rejects with `registry_unavailable` when the database cannot do it now (locked, full, gone); then nothing
 * was changed, but for a long `set`. When a promise settles well, what it did is on disk: no crash takes it back. Only
 * signatures are less than that.
 */
export interface Registry extends KeyTable {
  /** Whether the database has answered the last time it was asked; it is asked every second or so when nobody else does. True before the first time. */
  readonly available: boolean
  /**
   * Tells of every registration that there is, and from then on of every change, whoever made it, in the order of the
   * database: a change made through this object before its promise settles, one made elsewhere within a second. Settles
   * when what is there has been told. `told` is called with the changes of a small transaction together; a large one comes
   * in several calls, in several turns, so that the event loop goes on; an answer comes after all of its changes.
   */
  start(told: (changes: readonly RegistryChange[]) => void): Promise<void>
  /**
   * Makes sure that whatever registration was answered before this call, here or by another hub on the database, has been
   * told. `undefined` when it has; else it settles when it is. Only after `start`. Whoever needs it for many messages asks
   * once for all of them.
   */
  current(): Promise<void> | undefined
  /** False when the url has it already; nothing is changed then, the recovery url neither. */
  add(url: string, wanted: Wanted): Promise<boolean>
  /** False when the url did not have it. */
  remove(url: string, wanted: Pick<Wanted, 'kind' | 'target'>): Promise<boolean>
  /** Takes away one registration, if it is still there. */
  removeId(id: number): Promise<boolean>
  /**
   * Makes what the url has equal to this. What was there and stays is the same registration, its recovery url as stated
   * now, and is never absent for others. The list must stay as it is until the promise settles.
   *
   * A set of more than 2,000 differences is not one transaction: it is done in pieces, additions first, with other calls
   * in between; when it rejects, part of it may stand. Sets for one url through this object are done one after the other.
   * What else changes the url during a set of more than 2,000, or of a url that has more, counts as before or after it.
   */
  set(url: string, wanted: readonly Wanted[]): Promise<void>
  /** What the url has, read from the database now, in no particular order. More than 2,000 are not of one moment; none that stays is left out. */
  list(url: string): Promise<readonly Registration[]>
  /**
   * Remembers a signature until `expiresAt`. False when it is known already: it is a replay. Two hubs that share the
   * database never both get true. What was answered outlives the process, but a crash of the machine may take it back:
   * therefore it rejects, with `registry_unavailable`, when the signature may have been used and forgotten.
   * @param signedAt when it was made, by the signer's clock; like `expiresAt` in ms since 1970
   */
  remember(signature: Uint8Array, expiresAt: number, signedAt: number): Promise<boolean>
  /** Forgets a signature whose request was refused without having had any effect, so that it may be tried again. */
  forget(signature: Uint8Array): Promise<void>
  /** One notice waits for each registration: the newer one counts, and any lock is let go. Nothing happens when the registration is gone. */
  postpone(notice: Notice): Promise<void>
  /** Takes up to `most` notices that are due at `now` and not locked by another hub, exact registrations first, and locks them for `lockMs`. */
  claim(now: number, lockMs: number, most: number): Promise<readonly ClaimedNotice[]>
  /** Ends a claim: with `next` the notice waits again, without it is done. Does nothing when the lock is no longer ours. */
  settle(claim: ClaimedNotice, next: Pick<Notice, 'attempts' | 'dueAt'> | undefined): Promise<void>
  /**
   * The secret of all hubs on this database, and of nobody else: how they know each other. The first one asked for is it,
   * for good; whatever is stated later is not used.
   * @param fresh bytes that nobody can foresee
   */
  hubSecret(fresh: Uint8Array): Promise<Uint8Array>
  /**
   * Everything that is kept: registrations before their notices, signatures that have not run out by the clock. Where the
   * database can, of one moment.
   */
  everything(): AsyncIterable<Stored>
  /**
   * Puts in what is not there; what is there stays as it is, but for signatures, of which the later end counts. All of it in one transaction where it
   * is no more than 1,000 things. A notice without its registration is left out, and a key whose domain or key is taken.
   * @returns how many were put in
   */
  restore(things: readonly Stored[]): Promise<number>
  close(): Promise<void>
}
