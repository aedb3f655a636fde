import { timingSafeEqual, hash } from 'node:crypto'
import { WaystationError } from '../core/errors.ts'
import { domainOf, type Keys } from '../core/keys.ts'
import type { Identity } from '../core/ports.ts'
import { topicFromText } from '../core/topic.ts'
import type { Request } from '../http/server.ts'
import type { Options } from './options.ts'

/** Where the path says which service is called: `/_/call/acme/math`. */
const CALLED = /^\/_\/(?:call|cast)\/(.+)$/s

/**
 * Who calls a service over HTTP or a WebSocket. `Authorization: Bearer` brings the token that clients of lonelyps have
 * (`toBroadcastersAuth` is `token`), or the API key of the domain that the service is under; over a WebSocket, which calls
 * many, `?domain=` says whose key it is. What is brought must be right.
 *
 * It throws, or rejects with, `key_refused` and `registry_unavailable`.
 */
export function createCallers({ keys, schemes, identify }: {
  keys: Keys
  schemes: Pick<Options, 'toBroadcastersAuth' | 'toBroadcastersSecret'>
  identify: (request: Request) => Identity
}): (request: Request) => Identity | Promise<Identity> {
  const token = schemes.toBroadcastersAuth === 'token' ? digest(schemes.toBroadcastersSecret) : undefined

  async function keyed(key: string, domain: string, by: Identity): Promise<Identity> {
    const verdict = await keys.check(key, domain)
    switch (verdict) {
      case 'good': return { ...by, kind: 'keyed', domain }
      case 'bad': throw new WaystationError('key_refused')
      case 'unavailable': throw new WaystationError('registry_unavailable', 'the key cannot be checked')
      default: return verdict satisfies never
    }
  }

  return (request) => {
    const by = identify(request)
    const [, proof] = /^Bearer +(\S+) *$/i.exec(request.message.headers.authorization ?? '') ?? []
    if (proof === undefined) return by
    if (token !== undefined && timingSafeEqual(digest(proof), token)) return { ...by, kind: 'signed' }
    const domain = domainIn(request)
    if (domain === undefined) throw new WaystationError('key_refused', 'it is not the token of this hub, and no domain is named')
    return keyed(proof, domain, by)
  }
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

function domainIn({ path, query }: Request): string | undefined {
  const [, service] = CALLED.exec(path.text ?? '') ?? []
  return service === undefined ? new URLSearchParams(query).get('domain') ?? undefined : domainOf(topicFromText(service))
}
