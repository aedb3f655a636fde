import { WaystationError } from '../core/errors.ts'
import type { Links } from './links.ts'
import type { PublicHub } from './public-hub.ts'

/** What stands behind the hub that a program is given, for those functions of ours that it hands it to. */
const hosts = new WeakMap<PublicHub, Links>()

export function hostsLinks(hub: PublicHub, links: Links): void {
  hosts.set(hub, links)
}

/** @throws {WaystationError} `config_invalid` for something that is no hub of this process */
export function linksOf(hub: PublicHub): Links {
  const links = typeof hub === 'object' && hub !== null ? hosts.get(hub) : undefined
  if (links === undefined) throw new WaystationError('config_invalid', 'hub must be the hub of a server of this process: createServer(…).hub')
  return links
}
