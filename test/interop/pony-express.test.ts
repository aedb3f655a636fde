import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { PublicHub, ReceivedMessage } from '../../src/index.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { connectLink, serveLinks, type Link, type LinkOptions, type LinkServer } from '../../src/server/link.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until, type Inbox } from '../support/events.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { needs } from '../support/parts.ts'
import { startRelay } from '../support/relay.ts'
import { startServer } from '../support/server.ts'
import { binary, ERLANG_WITH_SSL, text } from './erlang-node.ts'
import { startErlang, type Erlang, type Heard } from './erlang-peer.ts'

/*
 * A real Erlang node at the other end of the wire: its runtime's TLS, its coder of terms, and its refusal of atoms that it
 * has never seen; the client and the daemon are written from the protocol document. The hub of each test is another; the
 * node is one for all.
 */

type Way = 'tcp' | 'tlsv1.2' | 'tlsv1.3'
const WAYS: readonly Way[] = ['tcp', 'tlsv1.2', 'tlsv1.3']

interface World {
  readonly erlang: Erlang
  /** Of our daemon, of the node's daemon, of takers of ours and of the node. */
  readonly files: { readonly [name in 'hub' | 'giver' | 'taker' | 'edge']: TlsFiles }
}

/** Limits that make our client see within a moment what it would see within seconds. */
const QUICK = { linkAnswerTimeout: 150, linkKeepalive: 50, linkRetry: 20, maxLinkRetry: 100 }

/** The transport of the node, as a member of the options there. */
function security(way: Way, files: TlsFiles): string {
  if (way === 'tcp') return ''
  const { cacertfile, certfile, keyfile } = files
  return `, tls => [{cacertfile, ${text(cacertfile)}}, {certfile, ${text(certfile)}}, {keyfile, ${text(keyfile)}}, {versions, ['${way}']}]`
}

async function give(hub: PublicHub, { files }: World, way: Way, more: Partial<Parameters<typeof serveLinks>[0]> = {}): Promise<LinkServer> {
  const { crlfile: _, ...tls } = files.hub
  return serveLinks({ hub, port: 0, host: '127.0.0.1', ...(way === 'tcp' ? { transport: 'tcp' } : { tls }), ...more })
}

async function take(hub: PublicHub, { files }: World, way: Way, link: Pick<LinkOptions, 'port' | 'topics' | 'prefix'>): Promise<Link> {
  return connectLink({ hub, server: '127.0.0.1', ...(way === 'tcp' ? { transport: 'tcp' } : { tls: files.edge }), ...link })
}

let names = 0
/** A word that is an atom over there, and nobody else's. */
const unique = (word: string): string => `${word}_${++names}`

/** A client over there, and what a subscriber of its PubSub gets. */
async function erlangClient({ erlang, files }: World, way: Way, port: number, topic: string, name = unique('client')): Promise<{ name: string; pubsub: string; heard: Inbox<Heard> }> {
  const pubsub = unique('target')
  const heard = await erlang.watch(unique('watcher'), pubsub, binary(topic))
  await erlang.client(name, `#{pubsub => ${pubsub}, port => ${port}, topic => ${binary(topic)}${security(way, files.taker)}}`)
  return { name, pubsub, heard }
}

async function erlangDaemon({ erlang, files }: World, way: Way, more = ''): Promise<{ name: string; pubsub: string; port: number }> {
  const [name, pubsub] = [unique('daemon'), unique('source')]
  return { name, pubsub, port: await erlang.daemon(name, `#{pubsub => ${pubsub}${security(way, files.giver)}${more}}`) }
}

/**
 * Publishes until it arrives, because nobody is told when a subscription has taken effect (section 4); then takes what has
 * come of it.
 */
async function arrives(publish: (text: string) => Promise<unknown>, next: () => Promise<string>): Promise<void> {
  const mark = randomUUID()
  let heard = ''
  const first = (async () => {
    while (!heard.startsWith(mark)) heard = await next()
  })()
  // Who waits for it is told by name what has not come.
  first.catch(() => {})
  let sent = 0
  await until(async () => {
    await publish(`${mark} ${sent++}`)
    return heard.startsWith(mark)
  }, 'something arrives')
  const last = `${mark} ${sent - 1}`
  while (heard !== last) heard = await next()
}

const asBinary = (heard: Heard): string => heard.text.slice('<<"'.length, -'">>'.length)
const reaches = (hub: PublicHub, topic: string, heard: Inbox<Heard>): Promise<void> => arrives((body) => hub.publish(topic, body), async () => asBinary(await heard.next()))
const comes = (world: World, pubsub: string, topic: string, got: Inbox<ReceivedMessage>): Promise<void> => arrives((body) => world.erlang.broadcast(pubsub, binary(topic), binary(body)), async () => (await got.next()).text())

/** What a subscriber of ours gets, and how often it is told of a gap. */
function subscribe(t: TestContext, hub: PublicHub, topics: string | readonly string[]): { got: Inbox<ReceivedMessage>; gaps: Inbox<string> } {
  const got = createInbox<ReceivedMessage>(`message of ${String(topics)}`)
  const gaps = createInbox<string>(`gap of ${String(topics)}`)
  const messages = hub.subscribe(topics, { onGap: (_from, to) => gaps.push(to) })
  t.after(() => messages[Symbol.asyncDispose]())
  void (async () => {
    for await (const message of messages) got.push(message)
  })().catch((error: Error) => got.end(error))
  return { got, gaps }
}

test('PonyExpress, a real Erlang node at the other end', needs(ERLANG_WITH_SSL), async (t) => {
  const erlang = await startErlang(t)
  const ours = linkCertificates(join(temporaryFolder(t), 'ca'))
  const files = { hub: await ours.server('hub'), giver: await ours.server('giver'), taker: await ours.client('taker'), edge: await ours.client('edge') }
  const world: World = { erlang, files }

  for (const way of WAYS) {
    await t.test(`over ${way} an Erlang client takes from our daemon: text, bytes, JSON, a million bytes and two thousand in a row`, async (t) => {
      const { hub } = await startServer(t)
      const server = await give(hub, world, way, { atoms: [await erlang.evaluate('stated_and_known')] })
      const one = await erlangClient(world, way, server.port, 'my_topic')
      const other = await erlangClient(world, way, server.port, 'other/é')
      await reaches(hub, 'my_topic', one.heard)
      await reaches(hub, 'other/é', other.heard)
      assert.equal(server.takers, 2)

      const unknown = `not_known_${randomUUID()}`
      const json = (value: unknown): Promise<unknown> => hub.publish('my_topic', JSON.stringify(value), 'application/json')
      await hub.publish('my_topic', 'my_message')
      await hub.publish('my_topic', Buffer.from([0, 255, 131]))
      await hub.publish('my_topic', 'plain: {"a":1}')
      await json({ name: 'Zoë', list: [1, 2.5, true, null] })
      await json({ $tuple: [{ $atom: 'ok' }, { $atom: 'stated_and_known' }] })
      await json({ $tuple: [{ $atom: unknown }, { [unknown]: { $atom: 'error' } }] })
      const said = (await one.heard.take(6)).map((heard) => heard.text)
      const expected = ['<<"my_message">>', '<<0,255,131>>', '<<"plain: {\\"a\\":1}">>', `#{<<"list">> => [1,2.5,true,nil],<<"name">> => <<"Zoë">>}`, '{ok,stated_and_known}', `{<<"${unknown}">>,#{<<"${unknown}">> => error}}`]
      assert.deepEqual(said.map(normal), expected.map(normal))

      await hub.publish('my_topic', Buffer.alloc(10_240))
      await hub.publish('my_topic', 'x'.repeat(1_000_000))
      const sizes = [`digest(<<0:81920>>)`, `digest(binary:copy(<<"x">>, 1000000))`]
      for (const size of sizes) assert.equal(`<<"${(await one.heard.next()).digest}">>`, await erlang.evaluate(size))
      for (let i = 0; i < 2_000; i++) void hub.publish('my_topic', String(i))
      await hub.publish('other/é', 'to the other')
      assert.equal(asBinary(await other.heard.next()), 'to the other')
      assert.deepEqual((await one.heard.take(2_000)).map(asBinary), Array.from({ length: 2_000 }, (_, i) => String(i)))
      await healthy([one.name, other.name], erlang)
      for (const { name } of [one, other]) await erlang.stop(name)
    })

    await t.test(`over ${way} our client takes from an Erlang daemon, with one connection and one subscribe for each topic`, async (t) => {
      const { hub } = await startServer(t, QUICK)
      const topics = ['my_topic', 'b', 'c']
      const daemon = await erlangDaemon(world, way)
      const { got } = subscribe(t, hub, topics)
      // A glob cannot be asked for there, and takes nothing from the names.
      const link = await take(hub, world, way, { port: daemon.port, topics: ['news/*', ...topics] })
      for (const topic of topics) await comes(world, daemon.pubsub, topic, got)
      assert.equal(link.state.state === 'up' && link.state.peer, 'ponyexpress')

      const broadcast = (topic: string, term: string): Promise<void> => erlang.broadcast(daemon.pubsub, binary(topic), term)
      await broadcast('my_topic', '<<"my_message">>')
      await broadcast('my_topic', 'ping')
      await broadcast('my_topic', '#{answer => {ok, [1, 2.5, <<"b">>]}}')
      await broadcast('my_topic', '<<0:81920>>')
      await broadcast('my_topic', 'binary:copy(<<"x">>, 1000000)')
      const [plain, atom, map, zeros, large] = await got.take(5) as [ReceivedMessage, ReceivedMessage, ReceivedMessage, ReceivedMessage, ReceivedMessage]
      assert.deepEqual([plain.topic, plain.text(), plain.contentType], ['my_topic', 'my_message', 'text/plain; charset=utf-8'])
      assert.deepEqual([JSON.parse(atom.text()), atom.contentType], [{ $atom: 'ping' }, 'application/json'])
      assert.match(map.text(), /answer.*\[1,2\.5,"b"\]/)
      assert.deepEqual([zeros.body, large.text()], [Buffer.alloc(10_240), 'x'.repeat(1_000_000)])
      await erlang.evaluate(`[broadcast(${daemon.pubsub}, <<"b">>, integer_to_binary(N)) || N <- lists:seq(1, 2000)]`)
      await broadcast('c', '<<"to another">>')
      const all = await got.take(2_001)
      assert.deepEqual(all.filter(({ topic }) => topic === 'b').map((message) => message.text()), Array.from({ length: 2_000 }, (_, i) => String(i + 1)))
      assert.deepEqual(all.filter(({ topic }) => topic === 'c').map((message) => message.text()), ['to another'])
      await politely(erlang, daemon.name, topics)
      await link.close()
      await erlang.stop(daemon.name)
    })
  }

  for (const way of WAYS.slice(1)) {
    await t.test(`over ${way} terms go from an Erlang daemon through a hub to an Erlang client unchanged`, async (t) => {
      const { hub } = await startServer(t, QUICK)
      const server = await give(hub, world, way)
      const daemon = await erlangDaemon(world, way)
      const link = await take(hub, world, way, { port: daemon.port, topics: ['terms'], prefix: 'from/' })
      const client = await erlangClient(world, way, server.port, 'from/terms')
      await arrives((body) => erlang.broadcast(daemon.pubsub, binary('terms'), binary(body)), async () => asBinary(await client.heard.next()))
      const terms = [
        'ping', 'nil', '[]', '""', '"text"', "'an atom with spaces'", '{}', '{error, timeout}', '[a | b]', '<<5:3>>', '-0.0', '1 bsl 4000', '-(1 bsl 31)', '1.0e300',
        '{self(), make_ref()}', '#{}', '#{1 => a, 1.0 => b, <<"k">> => #{[] => {nested, [#{}]}}}', '[{key, value}, {other, [1, 2, 3]}]', 'lists:seq(1, 70000)', 'list_to_tuple(lists:seq(1, 300))',
        '{pubsub, {subscribe, keepalive}}', 'binary_to_term(term_to_binary(binary:copy(<<"a">>, 100000), [compressed]))',
      ]
      const sent: string[] = []
      for (const term of terms) sent.push(await erlang.evaluate(`X = ${term}, broadcast(${daemon.pubsub}, <<"terms">>, X), digest(X)`))
      const heard = (await client.heard.take(terms.length)).map(({ digest }) => `<<"${digest}">>`)
      assert.deepEqual(terms.filter((_, i) => heard[i] !== sent[i]), [], 'these are others')
      await healthy([client.name], erlang)
      await link.close()
      for (const { name } of [client, daemon]) await erlang.stop(name)
    })

    await t.test(`over ${way} an Erlang client with a certificate of another CA is refused, and nobody else notices`, async (t) => {
      const { hub } = await startServer(t)
      const server = await give(hub, world, way)
      const good = await erlangClient(world, way, server.port, 'my_topic')
      await reaches(hub, 'my_topic', good.heard)
      const theirs = await linkCertificates(join(temporaryFolder(t), 'ca')).client('taker')
      const stranger = { erlang, files: { ...files, taker: { ...theirs, cacertfile: files.hub.cacertfile } } }
      const bad = await erlangClient(stranger, way, server.port, 'my_topic')
      // Its supervisor tries it three times more.
      const reasons = await erlang.events('failed_client', bad.name).take(4)
      for (const [reason] of reasons) assert.match(reason as string, /tls_alert.*unknown_ca|closed/)
      await erlang.events('gave_up', bad.name).next()
      await hub.publish('my_topic', 'to the good one')
      assert.equal(asBinary(await good.heard.next()), 'to the good one')
      assert.deepEqual(bad.heard.taken(), [])
      await until(() => server.takers === 1, 'only the good one is there')
      for (const { name } of [good, bad]) await erlang.stop(name)
    })
  }

  // Section 17, each with a hub at the one end and then at the other. The first three are above.

  await t.test('scenario 4: a hub bridges two universes of one PubSub', async (t) => {
    const { hub } = await startServer(t, QUICK)
    const server = await give(hub, world, 'tlsv1.3')
    const daemon = await erlangDaemon(world, 'tlsv1.3', ', universe => theirs')
    const heard = await erlang.watch(unique('watcher'), daemon.pubsub, '{<<"test">>, ours}')
    const client = unique('client')
    await erlang.client(client, `#{pubsub => ${daemon.pubsub}, port => ${server.port}, topic => <<"test">>, universe => ours${security('tlsv1.3', files.taker)}}`)
    const link = await take(hub, world, 'tlsv1.3', { port: daemon.port, topics: ['test'] })
    await arrives((body) => erlang.broadcast(daemon.pubsub, '{<<"test">>, theirs}', binary(body)), async () => asBinary(await heard.next()))
    await erlang.broadcast(daemon.pubsub, '{<<"test">>, theirs}', 'ping')
    assert.equal((await heard.next()).text, 'ping')
    await politely(erlang, daemon.name, ['test'])
    await link.close()
    for (const name of [client, daemon.name]) await erlang.stop(name)
  })

  await t.test('scenarios 5 and 6: the Erlang daemon is killed and the link lives on; its server is killed and the link heals, with a gap', async (t) => {
    const { hub } = await startServer(t, QUICK)
    const daemon = await erlangDaemon(world, 'tlsv1.3')
    const { got, gaps } = subscribe(t, hub, 'my_topic')
    const link = await take(hub, world, 'tlsv1.3', { port: daemon.port, topics: ['my_topic'] })
    await comes(world, daemon.pubsub, 'my_topic', got)
    await erlang.evaluate(`kill(${daemon.name})`)
    await erlang.broadcast(daemon.pubsub, binary('my_topic'), '<<"over the old connection">>')
    assert.equal((await got.next()).text(), 'over the old connection')
    assert.deepEqual(gaps.taken(), [])
    assert.equal(await erlang.evaluate(`kill_servers(${daemon.name})`), '1')
    // The other daemon has another port: the link waits for one that listens where the first did.
    await erlang.stop(daemon.name)
    await erlang.daemon(daemon.name, `#{pubsub => ${daemon.pubsub}, port => ${daemon.port}${security('tlsv1.3', files.giver)}}`)
    await comes(world, daemon.pubsub, 'my_topic', got)
    assert.equal(link.state.state, 'up')
    assert.ok(gaps.taken().length > 0)
    await link.close()
    await erlang.stop(daemon.name)
  })

  await t.test('scenarios 5 and 6: our daemon is started again, or its connection breaks, and the Erlang client comes back', async (t) => {
    const { hub } = await startServer(t)
    const server = await give(hub, world, 'tlsv1.3')
    const { port } = server
    const relay = await startRelay(t, port)
    const [near, behind] = [await erlangClient(world, 'tlsv1.3', port, 'my_topic'), await erlangClient(world, 'tlsv1.3', relay.port, 'my_topic')]
    for (const { heard } of [near, behind]) await reaches(hub, 'my_topic', heard)
    near.heard.taken()
    relay.cut()
    relay.mend()
    await erlang.events('failed_client', behind.name).next()
    await reaches(hub, 'my_topic', behind.heard)
    near.heard.taken()
    await server.close()
    assert.deepEqual(await erlang.events('failed_client', near.name).next(), ['closed'])
    const again = await give(hub, world, 'tlsv1.3', { port })
    await reaches(hub, 'my_topic', near.heard)
    assert.ok(again.takers >= 1)
    for (const { name } of [near, behind]) await erlang.stop(name)
  })

  await t.test('scenario 7: a client is killed, and another takes its place', async (t) => {
    const { hub } = await startServer(t, QUICK)
    const server = await give(hub, world, 'tlsv1.3')
    const client = await erlangClient(world, 'tlsv1.3', server.port, 'my_topic')
    await reaches(hub, 'my_topic', client.heard)
    await erlang.evaluate(`kill(${client.name})`)
    await reaches(hub, 'my_topic', client.heard)
    await until(() => server.takers === 1, 'the dead one is gone')

    const daemon = await erlangDaemon(world, 'tlsv1.3')
    const { got } = subscribe(t, hub, 'my_topic')
    const link = () => take(hub, world, 'tlsv1.3', { port: daemon.port, topics: ['my_topic'] })
    const first = await link()
    await comes(world, daemon.pubsub, 'my_topic', got)
    await first.close()
    assert.match((await erlang.events('stopped', daemon.name).next())[1] as string, /closed|normal/)
    const second = await link()
    await comes(world, daemon.pubsub, 'my_topic', got)
    await second.close()
    for (const { name } of [client, daemon]) await erlang.stop(name)
  })
})

/** Map keys in one order, and text as it is, however Erlang writes them. */
function normal(term: string): string {
  return term.replace(/#\{([^{}]*)\}/g, (_, pairs: string) => `#{${pairs.split(/,(?=<<"[^,]*=>)/).sort().join(',')}}`)
}

/** No client over there has been stopped, or has seen junk. */
async function healthy(clients: readonly string[], erlang: Erlang): Promise<void> {
  for (const name of clients) for (const kind of ['failed_client', 'junk', 'gave_up'] as const) assert.deepEqual(erlang.events(kind, name).taken(), [], `${kind} ${name}`)
}

/** What the daemon over there has been asked: on each connection one topic, once, and keepalives; and it was content. */
async function politely(erlang: Erlang, daemon: string, topics: readonly string[]): Promise<void> {
  const asked = new Map<string, string[]>()
  for (const [connection, term] of erlang.events('asked', daemon).taken() as [string, string][]) {
    if (term !== 'keepalive') asked.set(connection, [...asked.get(connection) ?? [], term])
  }
  const subscriptions = [...asked.values()]
  assert.deepEqual(subscriptions.filter((terms) => terms.length !== 1), [], 'one subscribe each')
  const expected = await Promise.all(topics.map((topic) => erlang.evaluate(`{subscribe, ${binary(topic)}}`)))
  // A handshake may take longer than the limit over there, and then there is another connection.
  assert.deepEqual([...new Set(subscriptions.flat())].sort(), expected.sort())
  const reasons = erlang.events('stopped', daemon).taken().map(([, reason]) => reason)
  assert.deepEqual([reasons.filter((reason) => reason !== 'closed'), erlang.events('junk', daemon).taken()], [[], []])
}
