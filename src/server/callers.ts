import { timingSafeEqual, hash } from 'node:crypto'
import { WaystationError } from '../core/errors.ts'
import { domainOf, type Keys } from '../core/keys.ts'
import type { Identity } from '../core/ports.ts'
import { topicFromText } from '../core/topic.ts'
import type { Request } from '../http/server.ts'
import type { Options } from './options.ts'

/** Where the path says which service is called: `/_/call/acme/math`. */
const CALLED = /^\/_\/(?:call|cast)\/(.+)$/s

export interface Callers {
  /** It throws, or rejects with, `key_refused` and `registry_unavailable`. */
  identify(request: Request): Identity | Promise<Identity>
  /** Watches what somebody has proved himself with for as long as he stays: `ended` is told when it counts no more. Gives what ends the watch. */
  watch(request: Request, by: Identity, ended: () => void): () => void
}

/**
 * Who calls a service over HTTP or a WebSocket. `Authorization: Bearer` brings the token that clients of lonelyps have
 * (`toBroadcastersAuth` is `token`), or the API key of the domain that the service is under; over a WebSocket, which calls
 * many, `?domain=` says whose key it is. What is brought must be right.
 */
export function createCallers({ keys, schemes, identify }: {
  keys: Keys
  schemes: Pick<Options, 'toBroadcastersAuth' | 'toBroadcastersSecret'>
  identify: (request: Request) => Identity
}): Callers {
  const token = schemes.toBroadcastersAuth === 'token' ? digest(schemes.toBroadcastersSecret) : undefined

  async function keyed(key: string, domain: string, by: Identity): Promise<Identity> {
    const verdict = await keys.check(key, domain)
    switch (verdict) {
      case 'good': return { ...by, kind: 'keyed', domain }
      case 'bad': throw new WaystationError('key_refused', `nor call services under ${domain}`)
      case 'unavailable': throw new WaystationError('registry_unavailable', 'the key cannot be checked')
      default: return verdict satisfies never
    }
  }

  return {
    identify(request) {
      const by = identify(request)
      const proof = proofIn(request)
      if (proof === undefined) return by
      if (token !== undefined && timingSafeEqual(digest(proof), token)) return { ...by, kind: 'signed' }
      const domain = domainIn(request)
      if (domain === undefined) throw new WaystationError('key_refused', 'it is not the token of this hub, and no domain is named')
      return keyed(proof, domain, by)
    },
    watch: (request, by, ended) => (by.kind === 'keyed' ? keys.hold(proofIn(request) ?? '', by.domain ?? '', ended) : () => {}),
  }
}

/** What stands behind `Bearer`. Other schemes are for whoever is in between. @throws {WaystationError} `key_refused` where nothing fit for a key stands there */
function proofIn({ message }: Request): string | undefined {
  const { authorization = '' } = message.headers
  if (!/^Bearer( |$)/i.test(authorization)) return undefined
  const [, proof] = /^Bearer +(\S+) *$/i.exec(authorization) ?? []
  if (proof === undefined) throw new WaystationError('key_refused', 'one key stands behind Bearer')
  return proof
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

function domainIn({ path, query }: Request): string | undefined {
  const [, service] = CALLED.exec(path.text ?? '') ?? []
  return service === undefined ? new URLSearchParams(query).get('domain') ?? undefined : domainOf(topicFromText(service))
}
