import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock, Confirmations, HubPort, Identity, Random, RandomBytes } from '../../core/ports.ts'
import type { Registry } from '../../core/registry.ts'
import type { Topic } from '../../core/topic.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import type { Request } from '../../http/server.ts'
import type { BodyAccount } from '../../http/body-account.ts'
import type { BodySource } from '../../http/body-source.ts'
import type { Spool } from '../../http/spool.ts'
import type { Checker, Verdict } from '../../protocol/lonelyps/authorization.ts'
import type { Claim } from '../../protocol/lonelyps/claims.ts'
import type { HeaderForm } from '../../protocol/lonelyps/stateful/messages.ts'
import type { Origins } from '../../http/origin.ts'
import type { Answers, AnswerSchemes } from './answers.ts'
import type { Intake } from './intake.ts'
import type { Relaying } from './socket/interests.ts'
import type { CompressionSettings } from './socket/parts.ts'

export interface LonelypsOptions {
  readonly kit: TransportKit
  readonly registry: Registry
  readonly spool: Spool
  readonly confirmations: Confirmations
  /** What bodies on their way keep in memory, shared with the other protocols. */
  readonly bodies: BodyAccount
  /** Checks what subscribers send, and what other broadcasters send in our name. */
  readonly fromSubscribers: Checker
  readonly fromBroadcasters: Checker
  readonly answers: AnswerSchemes
  readonly randomBytes: RandomBytes
  /** Whom each side lets in: those who prove who they are, those on this machine, or anyone. */
  readonly letsIn: { readonly subscribers: LetsIn; readonly broadcasters: LetsIn }
  /** Registrations that there are of such urls: those of hubs, made for their sockets, are counted apart from all others. */
  readonly registrations: (url: string) => number
  /** Why a webhook may not go to this url; `undefined` when it may be tried. */
  readonly refusesUrl: (url: string) => string | undefined
  /** Where other hubs that share the registry reach this one: `http://host:port`; '' when they do not. */
  readonly publicUrl: string
  /** Those hubs; `undefined` when they are not known from anybody else. */
  readonly hubs: KnownHubs | undefined
  readonly failed: (error: unknown) => void
  readonly sockets: SocketSettings
}

/** The hubs that share the registry. */
export interface KnownHubs {
  /** Whether one of them has made this header. */
  check(header: string | undefined, claim: Claim): Promise<Verdict>
  /** Whether somebody here wants a topic, or waits until the others know. */
  wants(topic: Topic): boolean
}

/** What is stated of WebSockets alone. */
export interface SocketSettings {
  readonly origins: Origins
  /** Asks for a place for one long-lived connection; gives what returns it, or the status that refuses. */
  readonly admit: (request: Request) => (() => void) | number
  readonly random: Random
  readonly form: HeaderForm
  readonly compression: CompressionSettings
  /** `undefined` when no other hub shares the registry. */
  readonly relaying: Relaying | undefined
  /** Why one ended, for the log. */
  readonly ended: (address: string, reason: string) => void
}

export type LetsIn = 'signed' | 'local' | 'anyone'

/** What every endpoint is given with its request. */
export interface Call {
  readonly request: Request
  readonly message: IncomingMessage
  readonly response: ServerResponse
  readonly authorization: string | undefined
  /** The signature that this very request was let in by, to be forgotten if it has no effect. */
  accepted: Buffer | undefined
  readonly identity: Identity
  readonly hub: HubPort
}

export interface EndpointParts extends LonelypsOptions {
  readonly reply: Answers
  readonly clock: Clock
  readonly intake: Intake
  /** The body of a call, booked on its client's account. */
  readonly source: (call: Call) => BodySource
  /** A whole short body. @throws {Refusal} 413, 503 */
  readonly body: (call: Call) => Promise<Buffer>
  /** Tells WebSockets that something on a topic may have been missed. */
  readonly missedBySockets: (topic: Topic) => void
}

/** Answers one request, or throws what is answered for it. */
export type Endpoint = (call: Call) => Promise<void>
