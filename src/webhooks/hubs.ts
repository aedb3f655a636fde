import type { Message } from '../core/message.ts'
import type { Registration, RegistryChange } from '../core/registry.ts'

const HUB_URL = /^https?:\/\/[^?#]*\/v1\/receive_for_websockets(?:[?#]|$)/i

/** Whether a registration is that of a hub, made for what its sockets want (lonelyps, section 2.6). */
export function isHubUrl(url: string): boolean {
  // Almost none is, and the first look is cheap.
  return url.includes('_for_websockets') && HUB_URL.test(url)
}

/** Registrations that hubs made for their sockets. Our own are not called: those sockets are reached in memory. */
export interface HubRegistrations {
  /** How many registrations of other hubs there are. */
  readonly size: number
  /** What is left of the changes without our own registrations. To be called with every change. */
  withoutOwn(changes: readonly RegistryChange[]): readonly RegistryChange[]
  /** Whether it is the registration of a hub that gets the message by another one: a hub gets it once, however many match (Q6). */
  isRepeated(registration: Registration, message: Message): boolean
}

/** @param own the url that this hub registers; `undefined` when it has none */
export function createHubRegistrations(own: string | undefined): HubRegistrations {
  const hubs = new Set<number>()
  /** The urls of hubs that each message was handed to. */
  const given = new WeakMap<Message, Set<string>>()

  return {
    get size() { return hubs.size },
    withoutOwn(changes) {
      let ours = 0
      for (const change of changes) {
        if (change.type === 'removed') hubs.delete(change.id)
        else if (change.registration.url === own) ours++
        else if (isHubUrl(change.registration.url)) hubs.add(change.registration.id)
      }
      return ours === 0 ? changes : changes.filter((change) => change.type === 'removed' || change.registration.url !== own)
    },
    isRepeated({ id, url }, message) {
      if (hubs.size === 0 || !hubs.has(id)) return false
      const urls = given.get(message)
      if (urls === undefined) {
        given.set(message, new Set([url]))
        return false
      }
      if (urls.has(url)) return true
      urls.add(url)
      return false
    },
  }
}
