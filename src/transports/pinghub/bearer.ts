import { WaystationError } from '../../core/errors.ts'
import { domainOf, type Keys } from '../../core/keys.ts'
import type { Identity } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'

/**
 * Who publishes under a domain that has an API key: whoever brings it as `Authorization: Bearer`.
 * @throws {WaystationError} `key_required`, `key_refused`, `registry_unavailable`
 */
export async function keyed(keys: Keys, topic: Topic, authorization: string | undefined, by: Identity): Promise<Identity> {
  const [, key] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
  if (key === undefined) throw new WaystationError('key_required', 'bring it as Authorization: Bearer')
  const domain = domainOf(topic)
  const verdict = await keys.check(key, domain)
  switch (verdict) {
    case 'good': return { ...by, kind: 'keyed', domain }
    case 'bad': throw new WaystationError('key_refused')
    case 'unavailable': throw new WaystationError('registry_unavailable', 'the key cannot be checked')
    default: return verdict satisfies never
  }
}
