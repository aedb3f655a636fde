import { countedAddress, isLoopback } from './address.ts'

/** What request bodies that are on their way keep in memory: in sum, and for each client. */
export interface BodyAccount {
  /** Books bytes for a client. False when that would be too much; nothing is booked then. */
  take(client: string, bytes: number): boolean
  give(client: string, bytes: number): void
}

/** Whose account a client's bodies are booked on: one for each address, IPv6 by its /64. */
export function clientOf(address: string): string {
  return address === 'unix' || isLoopback(address) ? NO_CLIENT : countedAddress(address)
}

/** The name of those who have no bound of their own: clients on this machine. */
export const NO_CLIENT = ''

/**
 * @param total bytes of all clients together
 * @param perClient bytes of one, so that a few that never end their requests do not keep all others from theirs
 */
export function createBodyAccount(total: number, perClient = total): BodyAccount {
  const byClient = new Map<string, number>()
  let booked = 0
  return {
    take(client, bytes) {
      const before = byClient.get(client) ?? 0
      if (booked + bytes > total) return false
      if (client !== NO_CLIENT && before + bytes > perClient) return false
      booked += bytes
      byClient.set(client, before + bytes)
      return true
    },
    give(client, bytes) {
      booked -= bytes
      const left = (byClient.get(client) ?? 0) - bytes
      if (left <= 0) byClient.delete(client)
      else byClient.set(client, left)
    },
  }
}
