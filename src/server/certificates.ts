import type { Authority } from '../links/authority/authority.ts'
import { realClock } from './real-world.ts'

export type { Authority, Existing, Shown } from '../links/authority/authority.ts'
export { AuthorityError } from '../links/authority/error.ts'
export { CA_DAYS, CA_NAME, faultOfAuthorityName, faultOfDns, faultOfIp, faultOfName, LEAF_DAYS, readDays, type LeafWish } from '../links/authority/wish.ts'

/**
 * The CA of a folder, for the certificates of links. What makes certificates is loaded here and not before: a hub that
 * starts does without it.
 */
export async function openCertificates(folder: string): Promise<Authority> {
  const { openAuthority } = await import('../links/authority/authority.ts')
  return openAuthority(folder, realClock.now)
}
