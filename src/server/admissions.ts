import type { Server, Socket } from 'node:net'
import type { Limits } from '../core/limits.ts'
import { ERRORS } from '../core/errors.ts'
import type { AddressSet } from '../http/address.ts'
import { createAdmission, type Admission, type Refusal } from '../http/admission.ts'
import { directAddress } from '../http/peer.ts'
import type { Request } from '../http/server.ts'

/**
 * Who counts which connection. On our own port every TCP connection is counted when it comes; of a client behind a trusted
 * proxy only the address is left to be counted when its long-lived connection begins. Everyone on a server that the hub
 * is mounted on is counted then. There is one count of all and one for each address, wherever they come in.
 */
export function createAdmissions(parts: { limits: Limits; trusted: AddressSet; refused: (reason: string) => void }): {
  readonly port: Admission
  admit(request: Request): (() => void) | number
} {
  const { limits, trusted, refused } = parts
  const all = createAdmission({ total: limits.maxConnections, perAddress: Infinity })
  const each = createAdmission({ total: Infinity, perAddress: limits.maxConnectionsPerAddress })
  const ours = new WeakSet<Server>()

  function both(address: string): (() => void) | Refusal {
    const place = all.admit('unix')
    if (typeof place !== 'function') return place
    const own = each.admit(address)
    if (typeof own !== 'function') {
      place()
      return own
    }
    return () => {
      place()
      own()
    }
  }

  return {
    port: {
      get count() { return all.count },
      admit: both,
      seen(socket) {
        const server = serverOf(socket)
        if (server !== undefined) ours.add(server)
      },
    },
    admit(request) {
      const { socket } = request.message
      const { address } = request.peer
      const server = serverOf(socket)
      const counted = server !== undefined && ours.has(server)
      const direct = directAddress(socket)
      if (counted && address === direct && !trusted.has(direct)) return () => {}
      const place = counted ? each.admit(address) : both(address)
      if (typeof place === 'function') return place
      refused(place)
      return ERRORS[place].status
    },
  }
}

/** With TLS the socket that a request came by is another than the one that was seen to connect; their server is one. */
function serverOf(socket: Socket): Server | undefined {
  return (socket as Socket & { server?: Server }).server
}
