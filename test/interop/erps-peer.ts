import type { TestContext } from 'node:test'
import type { Inbox } from '../support/events.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { startNode, text, type ErlangNode } from './erlang-node.ts'

/** What the peer tells of, besides answers: see the calls of `say` in its source. */
export type ErpsEvent =
  /** Connections, and what became of them. Of a client its number counts the processes that took one another's place. */
  | 'connected' | 'turned_away' | 'gave_up' | 'accepted' | 'refused' | 'ended'
  /** A packet: connection, type, term, digest, bytes behind the term; at a server version and identifier too. */
  | 'got'
  /** What it could not read: number of bytes; why. */
  | 'junk' | 'late' | 'dropped'
  /** A server that has sent this text, and reads no more. */
  | 'deaf'
  /** An answer to nothing that waits. */
  | 'ignored'
  /** A call that waits for `answer`: its key. */
  | 'held'

export type Way = 'tcp' | 'tlsv1.2' | 'tlsv1.3'
export const WAYS: readonly Way[] = ['tcp', 'tlsv1.2', 'tlsv1.3']

/** An Erlang node that runs `erps_peer`: clients and daemons that behave as the originals do. Terms are written as Erlang writes them. */
export interface ErpsPeer extends Pick<ErlangNode, 'evaluate'> {
  /** Starts a daemon whose servers offer the service of `erps_peer_server.erl`. `options`: members of a map. */
  daemon(name: string, options?: string): Promise<number>
  /** Starts a client, and waits until it is connected. */
  client(name: string, options: string): Promise<void>
  /** The answer to a call that a client over there makes; `{exit,timeout}` and the like where there is none. */
  call(client: string, request: string, timeout?: number): Promise<string>
  cast(client: string, request: string): Promise<void>
  /** Sends something from all servers of a daemon, as the original does. */
  push(daemon: string, term: string): Promise<void>
  /** Ends all of that name, for good. */
  stop(name: string): Promise<void>
  /** Events of one kind of one of them, each as the fields that stand behind its name. */
  events(kind: ErpsEvent, name: string): Inbox<string[]>
  /** Does something, and does it again, twice at most, where it fails while the node was without a processor for so many ms: an original loses packets then. */
  undisturbed(ms: number, what: () => Promise<void>): Promise<void>
  /** Everything that it was not content with up to now. */
  complaints(name: string): string[]
}

const LONGEST = 8_000

/** What an end may say and be content. */
const CONTENT: readonly string[] = ['normal', 'disconnected', 'killed']

/** Starts a node, and ends it with the test. */
export async function startErps(t: TestContext): Promise<ErpsPeer> {
  const node = await startNode(t, ['erps_peer', 'erps_peer_wire', 'erps_peer_client', 'erps_peer_server'])
  const stalls: number[] = []
  const stalled = node.events('stalled', 'node')
  const tell = async (expression: string): Promise<void> => void (await node.evaluate(expression))
  return {
    evaluate: node.evaluate,
    events: (kind, name) => soon(node.events(kind, name)),
    daemon: async (name, options = '') => Number(await node.evaluate(`daemon(${name}, #{${options}})`)),
    async client(name, options) {
      await tell(`client(${name}, #{${options}})`)
      await soon(node.events('connected', name)).next()
    },
    call: (client, request, timeout = 5_000) => node.evaluate(`call(${client}, ${request}, ${timeout})`),
    cast: (client, request) => tell(`cast(${client}, ${request})`),
    push: (daemon, term) => tell(`push(${daemon}, ${term})`),
    stop: (name) => tell(`stop(${name})`),
    async undisturbed(ms, what) {
      for (let tries = 1; ; tries++) {
        stalls.push(...stalled.taken().map(Number))
        const before = stalls.length
        try {
          return await what()
        } catch (error) {
          stalls.push(...stalled.taken().map(Number))
          if (tries === 3 || !stalls.slice(before).some((stall) => stall >= ms)) throw error
        }
      }
    },
    complaints(name) {
      const losses = (['junk', 'late', 'dropped', 'deaf', 'ignored', 'gave_up'] as const).flatMap((kind) => node.events(kind, name).taken().map((fields) => `${kind} ${fields.join(' ')}`))
      const ends = node.events('ended', name).taken().filter(([, why]) => !CONTENT.includes(why as string))
      return [...losses, ...ends.map((fields) => `ended ${fields.join(' ')}`)]
    },
  }
}

/** What an original has lost never comes: nobody need wait long for it. */
function soon<T>(inbox: Inbox<T>): Inbox<T> {
  return { ...inbox, next: (ms = LONGEST) => inbox.next(ms), take: (n, ms = LONGEST) => inbox.take(n, ms) }
}

/** The transport of the node, as a member of the options there. */
export function security(way: Way, { cacertfile, certfile, keyfile }: TlsFiles): string {
  if (way === 'tcp') return ''
  return `tls => [{cacertfile, ${text(cacertfile)}}, {certfile, ${text(certfile)}}, {keyfile, ${text(keyfile)}}, {versions, ['${way}']}]`
}

let names = 0
/** A word that is an atom over there, and nobody else's. */
export const unique = (word: string): string => `${word}_${++names}`
