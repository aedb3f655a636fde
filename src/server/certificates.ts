import type { Authority } from '../zones/authority/authority.ts'
import { realClock } from './real-world.ts'

export type { Authority, Existing, Shown } from '../zones/authority/authority.ts'
export { AuthorityError } from '../zones/authority/error.ts'
export { CA_DAYS, CA_NAME, faultOfAuthorityName, faultOfDns, faultOfIp, faultOfName, LEAF_DAYS, readDays, type LeafWish } from '../zones/authority/wish.ts'

/**
 * The CA of a folder, for the certificates of links. What makes certificates is loaded here and not before: a hub that
 * starts does without it.
 */
export async function openCertificates(folder: string): Promise<Authority> {
  const { openAuthority } = await import('../zones/authority/authority.ts')
  return openAuthority(folder, realClock.now)
}
