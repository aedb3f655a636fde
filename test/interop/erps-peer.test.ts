import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { openAuthority } from '../../src/zones/authority/authority.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { needs } from '../support/parts.ts'
import { binary, ERLANG_WITH_SSL } from './erlang-node.ts'
import { security, startErps, unique, WAYS } from './erps-peer.ts'

/*
 * What stands for the original in other tests is held against what was measured of the original: against the vectors, and
 * with its two ends at one another.
 */

interface Vectors {
  readonly decode: { readonly cases: readonly DecodeCase[] }
  readonly reference_framing: { readonly cases: readonly FramingCase[] }
}

interface DecodeCase {
  readonly name: string
  readonly options: { readonly identifier?: string; readonly versions?: string; readonly safe?: boolean | null }
  readonly after_preamble_hex: string
  readonly ok: boolean
  readonly type?: string
  readonly version?: string
  readonly identifier?: string
  readonly error?: string
  readonly text?: string
}

interface FramingCase {
  readonly name: string
  readonly chunks: readonly string[]
  readonly get_data_calls: readonly { readonly result: string; readonly recv_calls: readonly { readonly length: number; readonly timeout_ms: number }[] }[]
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/erps.json', import.meta.url), 'utf8')) as Vectors

/** Requirements as functions over there. */
const VERSIONS: { readonly [requirement: string]: string } = {
  '== 0.1.0': 'fun(V) -> V =:= {0, 1, 0} end',
  '~> 0.1.3': 'fun(V) -> V >= {0, 1, 3} andalso V < {0, 2, 0} end',
}

test('the Erlang peer behaves as the original was measured to', { ...needs(ERLANG_WITH_SSL), concurrency: true }, async (t) => {
  const erps = await startErps(t)
  const certificates = linkCertificates(join(temporaryFolder(t), 'ca'))
  const files = { daemon: await certificates.server('daemon'), client: await certificates.client('client') }
  const subtests: Promise<void>[] = []
  const it = (name: string, body: () => Promise<void>): void => void subtests.push(t.test(name, () => erps.undisturbed(30, body)))

  it('it cuts streams as the vectors say', async () => {
    for (const { name, chunks, get_data_calls } of vectors.reference_framing.cases) {
      const written = chunks.map((chunk) => (chunk === '(closed)' ? 'closed' : binary(Buffer.from(chunk, 'hex'))))
      const expected = get_data_calls.map(({ result, recv_calls }) => {
        const said = result.includes(' ') ? `{${result.replace(' ', ',')}}` : result
        return `{${said},[${recv_calls.map(({ length, timeout_ms }) => `{${length},${timeout_ms}}`).join()}]}`
      })
      assert.equal(await erps.evaluate(`framing([${written.join()}], ${get_data_calls.length})`), `[${expected.join()}]`, name)
    }
  })

  it('it takes and refuses packets as the vectors say', async () => {
    for (const { name, options, after_preamble_hex, ...expected } of vectors.decode.cases) {
      const { identifier, versions, safe } = options
      const stated = [
        ...(identifier === undefined ? [] : [`identifier => ${binary(identifier)}`]),
        ...(versions === undefined ? [] : [`versions => ${VERSIONS[versions] as string}`]),
        ...(safe === undefined ? [] : [`safe => ${safe === null ? 'nil' : String(safe)}`]),
      ]
      const packet = binary(Buffer.from(after_preamble_hex, 'hex'))
      const got = await erps.evaluate(`case decode(${packet}, #{${stated.join()}}) of {ok, T, _, #{version := {A, B, C}, identifier := I}} -> {ok, T, {A, B, C}, I}; Other -> Other end`)
      assert.equal(got, await erps.evaluate(outcomeOf(expected)), name)
    }
  })

  for (const way of WAYS) {
    it(`over ${way} its ends understand one another: calls, casts, pushes, late answers, large and compressed terms`, async () => {
      const [daemon, client] = [unique('daemon'), unique('client')]
      const port = await erps.daemon(daemon, security(way, files.daemon))
      const tls = security(way, files.client)
      // A handshake may take longer than the limit over there; then there is another client.
      await erps.client(client, `restart => permanent, port => ${port}, compressed => true, version => {0, 2, 5}, identifier => <<"my_api">>${tls && `, ${tls}`}`)
      await erps.events('accepted', daemon).next()
      for (const name of [client, daemon]) erps.events('ended', name).taken()
      await erps.cast(client, '{put, 42}')
      // What is sent at once with it would be lost over there.
      await erps.events('got', daemon).next()
      const call = (request: string): Promise<string> => erps.call(client, request)
      assert.equal(await call('state'), '42')
      assert.deepEqual([await call('is_remote'), await erps.evaluate(`local(${daemon}, is_remote)`)], ['true', 'false'])
      assert.equal(await call('ping'), 'pong')
      assert.equal(await erps.evaluate(`call(${client}, {echo, <<0:81920>>}, 5000) =:= <<0:81920>>`), 'true')
      const slow = call('{hold, slow}')
      const quick = call('{hold, quick}')
      await erps.events('held', daemon).take(2)
      await erps.evaluate(`answer(${daemon}, quick, first)`)
      assert.equal(await quick, 'first')
      await erps.evaluate(`answer(${daemon}, slow, second)`)
      assert.equal(await slow, 'second')
      erps.events('got', client).taken()
      await erps.push(daemon, '{news, <<"hi">>}')
      assert.deepEqual((await erps.events('got', client).next()).slice(1, 3), ['push', '{news,<<"hi">>}'])
      const got = erps.events('got', daemon).taken()
      const [, , , , behind, version, identifier] = got.find(([, type]) => type === 'call') as string[]
      assert.deepEqual([behind, version, identifier], ['0', '{0,2,5}', 'my_api'])
      assert.equal(await call('{stop_reply, stopped}'), 'stopped')
      assert.equal((await erps.events('ended', daemon).next())[1], 'normal')
      assert.equal((await erps.events('ended', client).next())[1], 'disconnected')
      assert.deepEqual([erps.complaints(client), erps.complaints(daemon)], [[], []])
      await Promise.all([erps.stop(client), erps.stop(daemon)])
    })
  }

  /** A client and a server over TCP. */
  async function pair(ofDaemon = '', ofClient = ''): Promise<{ daemon: string; client: string; port: number }> {
    const [daemon, client] = [unique('daemon'), unique('client')]
    const port = await erps.daemon(daemon, ofDaemon)
    await erps.client(client, `port => ${port}${ofClient && `, ${ofClient}`}`)
    await erps.events('accepted', daemon).next()
    return { daemon, client, port }
  }
  const endOf = async (name: string): Promise<string> => (await erps.events('ended', name).next())[1] as string

  it('over TCP its client loses pushes without a gap, and none with one of 120 ms', async () => {
    const [bad, good] = [await pair(), await pair()]
    const pushes = (n: number): string => `[packet(push, N) || N <- lists:seq(1, ${n})]`
    await erps.evaluate(`send_to(${bad.daemon}, [${pushes(20)}], 0)`)
    // What one look takes at most, and the rest.
    assert.deepEqual(await erps.events('junk', bad.client).take(2), [['1', '1460'], ['1', '520']])
    assert.deepEqual(erps.events('got', bad.client).taken(), [])
    await erps.evaluate(`send_to(${good.daemon}, ${pushes(5)}, 120)`)
    assert.deepEqual((await erps.events('got', good.client).take(5)).map(([, , term]) => term), ['1', '2', '3', '4', '5'])
  })

  it('its client crashes on a keepalive, a call, a cast and a reply that is no pair, and lives on after junk', async () => {
    for (const packet of ['keepalive()', 'packet(call, {1, ping})', 'packet(cast, ping)', 'packet(reply, ping)']) {
      const { daemon, client } = await pair()
      await erps.evaluate(`send_to(${daemon}, ${packet})`)
      assert.match(await endOf(client), /^\{crashed,/, packet)
      assert.equal(await endOf(daemon), 'disconnected')
    }
    const { daemon, client } = await pair()
    await erps.evaluate(`send_to(${daemon}, <<"no packet">>)`)
    assert.deepEqual((await erps.events('junk', client).next())[1], '9')
    await erps.evaluate(`send_to(${daemon}, packet(error, {<<"no_worker">>, 17}))`)
    await erps.events('ignored', client).next()
    assert.equal(await erps.call(client, 'ping'), 'pong')
  })

  it('its server ends on two packets at once, on junk, on unknown atoms and on what only servers send; and crashes where a callback does', async () => {
    const unknown = Buffer.from('zz_never_known_here')
    const cases: [string, RegExp][] = [
      ['[packet(call, {1, ping}), packet(call, {2, ping})]', /^einval$/],
      ['[keepalive(), packet(cast, {put, 1})]', /^einval$/],
      ['<<"junk">>', /^einval$/],
      [`begin <<A:4/binary, _:32, B:88/binary, _/binary>> = packet(cast, 1), [A, <<${unknown.length + 3}:32>>, B, ${binary(Buffer.concat([Buffer.from([131, 119, unknown.length]), unknown]))}] end`, /^badarg$/],
      ['packet(push, 1)', /^\{crashed,/],
      ['packet(call, ping)', /^\{crashed,/],
      ['packet(cast, fun lists:map/2)', /^\{crashed,unsafe\}$/],
      ['packet(cast, crash)', /^\{crashed,crash\}$/],
      ['packet(call, {1, no_such_request})', /^\{crashed,function_clause\}$/],
    ]
    await Promise.all(cases.map(async ([packet, why]) => {
      const { daemon, client } = await pair()
      await erps.evaluate(`send(${client}, ${packet})`)
      assert.match(await endOf(daemon), why, packet)
      assert.equal(await endOf(client), 'disconnected')
    }))
  })

  it('its client sends a keepalive of nine bytes every so many ms, and nothing comes back', async () => {
    const { daemon, client } = await pair('', 'keepalive => 50')
    assert.deepEqual(await erps.events('got', daemon).take(3), Array(3).fill(['1', 'keepalive']))
    await erps.stop(client)
    assert.equal(await endOf(daemon), 'disconnected')
    assert.deepEqual([erps.events('got', client).taken(), erps.complaints(daemon)], [[], []])
  })

  it('its server forgets a packet whose rest comes later than 500 ms', async () => {
    const { daemon, client } = await pair()
    await erps.evaluate(`send(${client}, binary:part(packet(cast, 1), 0, 50))`)
    assert.deepEqual((await erps.events('late', daemon).next())[1], '50')
    await erps.evaluate(`send(${client}, binary:part(packet(cast, 1), 50, 49))`)
    assert.equal(await endOf(daemon), 'einval')
  })

  it('its server is deaf after a wrong identifier or version, and pushes on', async () => {
    const cases: [string, string, string][] = [
      ['identifier => <<"my_api">>', '', 'wrong identifier'],
      [`versions => ${VERSIONS['~> 0.1.3'] as string}`, 'version => {0, 2, 0}', 'incompatible version'],
    ]
    for (const [ofDaemon, ofClient, text] of cases) {
      const { daemon, client } = await pair(ofDaemon, ofClient)
      assert.equal(await erps.call(client, 'ping', 200), '{exit,timeout}')
      assert.deepEqual((await erps.events('got', client).next()).slice(1, 3), ['error', `<<"${text}">>`])
      await erps.push(daemon, 'still_here')
      assert.equal((await erps.events('got', client).next())[2], 'still_here')
      assert.equal(await erps.call(client, 'ping', 200), '{exit,timeout}')
      await erps.stop(client)
      assert.deepEqual([erps.events('got', daemon).taken(), erps.complaints(daemon)], [[], [`deaf 1 ${text}`]])
      // It does not notice that nobody is there any more.
      await erps.push(daemon, 'to_nobody')
    }
  })

  it('over TCP its server does not survive packets that come while it is busy', async () => {
    const { daemon, client } = await pair()
    await erps.cast(client, '{busy, 200}')
    await erps.events('got', daemon).next()
    await erps.evaluate(`[send(${client}, packet(call, {N, ping})) || N <- [1, 2]]`)
    assert.equal(await endOf(daemon), 'einval')
  })

  it('a call without a connection is answered with disconnected, and a killed server ends the client, which is started again', async () => {
    const { daemon, client, port } = await pair('', 'restart => permanent, reconnect => 20')
    await erps.evaluate(`kill_servers(${daemon})`)
    assert.equal(await endOf(client), 'disconnected')
    await erps.events('accepted', daemon).next()
    await erps.evaluate(`kill(${client})`)
    assert.deepEqual(await erps.events('ended', daemon).take(2), [['1', 'killed'], ['2', 'disconnected']])
    await erps.events('accepted', daemon).next()
    await erps.stop(daemon)
    await erps.events('turned_away', client).next()
    assert.equal(await erps.call(client, 'ping'), 'disconnected')
    await erps.daemon(daemon, `port => ${port}`)
    await erps.events('accepted', daemon).next()
    assert.equal(await erps.call(client, 'ping'), 'pong')
  })

  it('its daemon gives 200 ms for the handshake, and its client a name that is no address away', async () => {
    const daemon = unique('daemon')
    const silent = connect(await erps.daemon(daemon, security('tlsv1.3', files.daemon)), '127.0.0.1')
    assert.deepEqual(await erps.events('refused', daemon).next(), ['1', 'timeout'])
    silent.destroy()
    await openAuthority(certificates.folder, Date.now).issue({ kind: 'server', name: 'named', ips: [], dns: ['localhost'], days: 1 }, 'kept')
    const named = { ...files.daemon, certfile: join(certificates.folder, 'named.pem'), keyfile: join(certificates.folder, 'named.key') }
    const [other, client] = [unique('daemon'), unique('client')]
    const port = await erps.daemon(other, security('tlsv1.3', named))
    await erps.evaluate(`client(${client}, #{port => ${port}, ${security('tlsv1.3', files.client)}})`)
    assert.match(await endOf(client), /hostname_check_failed/)
  })

  await Promise.all(subtests)
})

function outcomeOf({ ok, type, version, identifier, error, text }: Omit<DecodeCase, 'name' | 'options' | 'after_preamble_hex'>): string {
  if (ok) return identifier === undefined ? `${type}` : `{ok, ${type}, {${(version as string).split('.').join()}}, ${binary(identifier)}}`
  switch (error) {
    case 'text': return `{refused, ${binary(text as string)}}`
    case 'raises': return '{raised, unsafe}'
    default: return `{error, ${error}}`
  }
}
