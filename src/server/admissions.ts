import type { Socket } from 'node:net'
import type { Limits } from '../core/limits.ts'
import { ERRORS } from '../core/errors.ts'
import type { AddressSet } from '../http/address.ts'
import { createAdmission, type Admission } from '../http/admission.ts'
import { directAddress } from '../http/peer.ts'
import type { Request } from '../http/server.ts'

/**
 * Who counts which connection. On our own port every TCP connection is counted when it comes. A client behind a trusted
 * proxy, and everyone on a server that the hub is mounted on, is counted when its long-lived connection begins.
 */
export function createAdmissions(parts: { limits: Limits; trusted: AddressSet; refused: (reason: string) => void }): {
  readonly port: Admission
  admit(request: Request): (() => void) | number
} {
  const { limits, trusted, refused } = parts
  const bounds = { total: limits.maxConnections, perAddress: limits.maxConnectionsPerAddress }
  const port = createAdmission(bounds)
  const beyond = createAdmission(bounds)
  const counted = new WeakSet<Socket>()

  return {
    port: {
      get count() { return port.count },
      admit: port.admit,
      seen: (socket) => void counted.add(socket),
    },
    admit(request) {
      const { socket } = request.message
      const direct = directAddress(socket)
      const speaksForItself = counted.has(socket) && request.peer.address === direct && !trusted.has(direct)
      if (speaksForItself) return () => {}
      const place = beyond.admit(request.peer.address)
      if (typeof place === 'function') return place
      refused(place)
      return ERRORS[place].status
    },
  }
}
