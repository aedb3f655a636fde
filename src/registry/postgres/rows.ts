import { hash } from 'node:crypto'
import type { Registration, Wanted } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import { stored, unstored } from './text.ts'

/** As the driver gives it: a bigint is a text. */
export interface RegistrationRow {
  readonly id: string
  readonly kind: 'exact' | 'glob'
  readonly target: Buffer
  readonly url: string
  readonly recovery: string | null
}

export const REGISTRATION_COLUMNS = 's.id, s.kind, s.target, s.url, s.recovery'

/**
 * Which table a name means, of which server, in SQL: another after it was made anew, and after a server has started again
 * or a standby has taken its place, which may lack the last that was committed.
 */
export function placeOf(table: string): string {
  return `'${table}'::regclass::oid || ' ' || extract(epoch FROM pg_postmaster_start_time())`
}

export function registrationOf({ id, kind, target, url, recovery }: RegistrationRow): Registration {
  return { id: Number(id), kind, target: topicFromBytes(target), url: unstored(url), recovery: recovery === null ? undefined : unstored(recovery) }
}

/** Registrations as the columns of a statement: what is one place of `unnest`. */
export function columnsOf(all: readonly (Wanted & { readonly url: string })[]): [kinds: string[], targets: Buffer[], urls: string[], recoveries: (string | null)[]] {
  return [
    all.map(({ kind }) => kind),
    all.map(({ target }) => topicToBytes(target)),
    all.map(({ url }) => stored(url)),
    all.map(({ recovery }) => (recovery === undefined ? null : stored(recovery))),
  ]
}

/** The same for the same registration: a number or a row is not needed to know it again. */
export function identityOf({ url, kind, target }: Pick<Wanted, 'kind' | 'target'> & { readonly url: string }): string {
  return `${digestOf(stored(url))} ${kind} ${hash('sha256', topicToBytes(target), 'hex')}`
}

/** What `identityOf` gives, in SQL. */
export const IDENTITY = "encode(waystation.digest(s.url), 'hex') || ' ' || s.kind || ' ' || encode(sha256(s.target), 'hex')"

function digestOf(text: string): string {
  return hash('sha256', text, 'hex')
}
