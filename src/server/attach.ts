import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { splitTarget } from '../http/path.ts'
import type { Dispatch } from '../http/server.ts'

/** One hub on a server, and what stands before its paths there; nothing for the whole server. */
interface Mount {
  readonly base: string
  readonly dispatch: Dispatch
}

type Emit = (event: string | symbol, ...args: unknown[]) => boolean
type Mountable = Server & { emit: Emit; shouldUpgradeCallback(message: IncomingMessage): boolean }

/** What is mounted on a server, the longest prefix first, and what takes us off it when nothing is any more. */
const mounted = new WeakMap<Server, { mounts: Mount[]; giveBack(): void }>()

/**
 * Mounts the hub on a server that somebody else made, under a prefix. Requests elsewhere go where they would have gone
 * without us; so do upgrades, and where nobody takes upgrades, they stay plain requests. Without a prefix only what one of
 * the hub's protocols takes is the hub's: with channels switched off, that is `/v1/…` and `/_/…`.
 * @returns what takes the hub off again
 * @throws {RangeError} when the prefix is none
 */
export function attachTo(server: Server, prefix: string, dispatch: Dispatch): () => void {
  const base = prefix === '/' ? '' : prefix.replace(/\/$/, '')
  if (!/^(\/[\w.~-]+)*$/.test(base)) throw new RangeError(`"${prefix}" is no prefix: write /name`)
  const { mounts, giveBack } = mounted.get(server) ?? takeOver(server as Mountable)
  const mount: Mount = { base, dispatch }
  mounts.unshift(mount)
  mounts.sort((a, b) => b.base.length - a.base.length)
  return () => {
    const at = mounts.indexOf(mount)
    if (at === -1) return
    mounts.splice(at, 1)
    if (mounts.length === 0) giveBack()
  }
}

/** Node asks whether there is a listener before it tells of these; ours is only there to be counted. */
const COUNTED = ['upgrade', 'checkContinue'] as const
const counted = (): void => {}

/**
 * Looks at requests before any listener gets them. A listener of our own beside the others would not do: those that come
 * after us (a WebSocket library, say) would answer what is ours a second time.
 */
function takeOver(server: Mountable): { mounts: Mount[]; giveBack(): void } {
  const mounts: Mount[] = []
  const { emit, shouldUpgradeCallback } = server
  const ownEmit = Object.hasOwn(server, 'emit')

  function find(message: IncomingMessage): Mount | undefined {
    const { raw } = splitTarget(message.url ?? '/')
    return mounts.find(({ base, dispatch }) => (base === '' ? dispatch.takes(message) : raw === base || raw.startsWith(base + '/')))
  }
  function isTakenElsewhere(event: (typeof COUNTED)[number]): boolean {
    return server.listeners(event).some((listener) => listener !== counted)
  }
  const look: Emit = (event, ...args) => {
    if (event !== 'request' && event !== 'checkContinue' && event !== 'upgrade') return emit.call(server, event, ...args)
    const [message, answer, head] = args as [IncomingMessage, ServerResponse | Duplex, Buffer]
    const mount = find(message)
    if (mount !== undefined) {
      if (event === 'upgrade') mount.dispatch.upgrade(message, answer as Duplex, head, mount.base)
      else mount.dispatch.request(message, answer as ServerResponse, mount.base)
      return true
    }
    if (event !== 'checkContinue' || isTakenElsewhere(event)) return emit.call(server, event, ...args)
    // What Node does where nobody listens for it.
    ;(answer as ServerResponse).writeContinue()
    return emit.call(server, 'request', ...args)
  }
  const lookAtUpgrade = (message: IncomingMessage): boolean => {
    const mount = find(message)
    if (mount !== undefined) return mount.dispatch.upgrades(message, mount.base)
    return isTakenElsewhere('upgrade') && shouldUpgradeCallback.call(server, message)
  }

  server.emit = look
  server.shouldUpgradeCallback = lookAtUpgrade
  for (const event of COUNTED) server.on(event, counted)

  function giveBack(): void {
    mounted.delete(server)
    for (const event of COUNTED) server.off(event, counted)
    if (server.shouldUpgradeCallback === lookAtUpgrade) server.shouldUpgradeCallback = shouldUpgradeCallback
    // Where somebody has wrapped it after us it stays, and lets everything by.
    if (server.emit !== look) return
    if (ownEmit) server.emit = emit
    else delete (server as { emit?: Emit }).emit
  }

  const taken = { mounts, giveBack }
  mounted.set(server, taken)
  return taken
}
