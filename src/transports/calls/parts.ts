import { isIP } from 'node:net'
import type { CallPort } from '../../core/calls.ts'
import type { Identity } from '../../core/ports.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import type { BodyAccount } from '../../http/body-account.ts'
import type { Origins } from '../../http/origin.ts'
import type { Request } from '../../http/server.ts'
import type { RequestBounds } from './terms.ts'

export interface CallsOptions {
  readonly kit: TransportKit
  readonly port: CallPort
  readonly origins: Origins
  /** What bodies and frames on their way keep in memory, shared with the other protocols. */
  readonly bodies: BodyAccount
  /** Asks for a place for one long-lived connection; gives what returns it, or the status that refuses. */
  readonly admit: (request: Request) => (() => void) | number
  /** Who it is. A promise MUST settle within some seconds. @throws {WaystationError} also as the promise: nobody who may go on */
  readonly identify: (request: Request) => Identity | Promise<Identity>
  /** Watches what somebody has proved himself with while his WebSocket is open: `ended` is told when it counts no more. Gives what ends the watch. */
  readonly watch?: (request: Request, by: Identity, ended: () => void) => () => void
  /** The atoms that JSON may make beside the common ones. The set must not change. */
  readonly atoms: ReadonlySet<string>
  /** Those that a term may hold: a service of the original goes away at one that it does not know. */
  readonly termAtoms: 'any' | ReadonlySet<string>
  /** Told of what should not have been thrown. */
  readonly failed: (error: unknown) => void
}

/** What the ways in share. */
export interface CallsParts extends CallsOptions {
  readonly bounds: RequestBounds
  /** Whether newcomers are let in. */
  readonly isOpen: () => boolean
  /** Whether pages of this origin may call. */
  readonly allowsOrigin: (origin: string, request: Pick<Request, 'message' | 'peer'>) => boolean
}

/**
 * Where no origin is stated, only pages that come from the hub's own address may call: a call does things, and a page
 * that somebody happens to have open can reach a hub on his machine. From there that address is no name of a domain:
 * whoever owns one can have it lead to this machine once his page is open.
 */
export function originRule(origins: Origins): CallsParts['allowsOrigin'] {
  return (origin, { message, peer }) => (origins.stated ? origins.allows(origin) : isSame(origin, message.headers.host, peer.local))
}

function isSame(origin: string, host: string | undefined, local: boolean): boolean {
  if (host === undefined || !URL.canParse(origin)) return false
  const { protocol, host: theirs, hostname } = new URL(origin)
  const ours = `${protocol}//${host}`
  if (theirs === '' || !URL.canParse(ours) || new URL(ours).host !== theirs) return false
  return !local || hostname === 'localhost' || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
}
