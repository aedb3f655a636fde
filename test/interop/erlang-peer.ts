import type { TestContext } from 'node:test'
import type { Inbox } from '../support/events.ts'
import { startNode, type ErlangNode } from './erlang-node.ts'

/** What the peer tells of, besides answers: see the calls of `say` in its source. */
export type ErlangEvent = 'heard' | 'accepted' | 'refused' | 'asked' | 'stopped' | 'connected' | 'turned_away' | 'failed_client' | 'gave_up' | 'junk'

/** What a subscriber over there got: as it is written there, cut where it is long, and what the same term alone has. */
export interface Heard {
  readonly text: string
  readonly digest: string
}

/** An Erlang node that runs `pony_express_peer`. */
export interface Erlang extends Pick<ErlangNode, 'evaluate'> {
  /** Starts a daemon that gives the topics of a PubSub, and gives its port. */
  daemon(name: string, options: string): Promise<number>
  /** Starts a client of one topic. */
  client(name: string, options: string): Promise<void>
  /** Ends a daemon with its servers, or a client, for good. */
  stop(name: string): Promise<void>
  broadcast(pubsub: string, topic: string, term: string): Promise<void>
  /** Subscribes to a topic of a PubSub. */
  watch(name: string, pubsub: string, topic: string): Promise<Inbox<Heard>>
  /** Events of one kind of one of them, each as the fields that stand behind its name. */
  events(kind: ErlangEvent, name: string): Inbox<string[]>
}

/** Starts a node, and ends it with the test. */
export async function startErlang(t: TestContext): Promise<Erlang> {
  const node = await startNode(t, ['pony_express_peer'])
  return {
    ...node,
    daemon: async (name, options) => Number((await node.evaluate(`daemon(${name}, ${options})`)).slice(1, -1)),
    async client(name, options) {
      await node.evaluate(`client(${name}, ${options})`)
    },
    async stop(name) {
      await node.evaluate(`stop(${name})`)
    },
    async broadcast(pubsub, topic, term) {
      await node.evaluate(`broadcast(${pubsub}, ${topic}, ${term})`)
    },
    async watch(name, pubsub, topic) {
      await node.evaluate(`watch(${name}, ${pubsub}, ${topic})`)
      return heard(node.events('heard', name))
    },
  }
}

function heard(events: Inbox<string[]>): Inbox<Heard> {
  const named = ([text, digest]: string[]): Heard => ({ text: text as string, digest: digest as string })
  return {
    push: ({ text, digest }) => events.push([text, digest]),
    end: (error) => events.end(error),
    next: async (ms) => named(await events.next(ms)),
    taken: () => events.taken().map(named),
    take: async (n, ms) => (await events.take(n, ms)).map(named),
  }
}
