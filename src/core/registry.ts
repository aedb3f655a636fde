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

/**
 * The SQL truth about durable subscriptions, shared by every hub that opens the same database.
 *
 * Every method rejects with `registry_unavailable` when the database cannot do it now (locked, full, gone); then nothing
 * was changed, but for a long `set`. When a promise settles well, what it did is on disk: no crash takes it back. Only
 * signatures are less than that.
 */
export interface Registry {
  /**
   * Tells of every registration that there is, and from then on of every change, whoever made it, in the order of the
   * database: a change made through this object before its promise settles, one made elsewhere within a second. Settles
   * when what is there has been told. `told` is called with the changes of a small transaction together; a large one comes
   * in several calls, in several turns, so that the event loop goes on; an answer comes after all of its changes.
   */
  start(told: (changes: readonly RegistryChange[]) => void): Promise<void>
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
  close(): Promise<void>
}
