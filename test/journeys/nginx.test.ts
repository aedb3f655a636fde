import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { test, type TestContext } from 'node:test'
import type { Config } from '../../src/index.ts'
import { checkNginxConf, startNginx, type NginxPlaces, type TestNginx } from '../support/nginx.ts'
import { needs, NGINX } from '../support/parts.ts'
import { run } from '../support/process.ts'
import { exchange, handshake, raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

type Hub = Awaited<ReturnType<typeof startServer>>

async function serve(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

const letAllPass: RequestListener = (_request, response) => response.writeHead(204).end()

interface Scene extends Pick<NginxPlaces, 'change' | 'extra'> {
  readonly hubs?: readonly Config[]
  readonly auth?: RequestListener | number
}

/** nginx before hubs of this process, with the auth server that is given, or one that lets everybody pass. */
async function scene(t: TestContext, { hubs = [{}, {}], auth = letAllPass, ...nginx }: Scene = {}): Promise<{ hubs: Hub[]; front: TestNginx }> {
  const started = await Promise.all(hubs.map((config) => startServer(t, { trustedProxies: ['127.0.0.1'], ...config })))
  const port = typeof auth === 'number' ? auth : await serve(t, auth)
  return { hubs: started, front: await startNginx(t, { hubs: started.map((hub) => hub.port), auth: port, ...nginx }) }
}

const epoch = (hub: Hub): string => hub.hub.cursor.split(':')[0] as string

async function post(front: TestNginx, path: string, { body = 'hello', headers = {} as Record<string, string> } = {}): Promise<Response> {
  const response = await fetch(front.url + path, { method: 'POST', body, headers, redirect: 'manual' })
  await response.arrayBuffer()
  return response
}

/** The hub that a path leads to, known by the epoch of its log. */
async function home(front: TestNginx, path: string): Promise<string> {
  const response = await post(front, path)
  assert.equal(response.status, 200, path)
  return response.headers.get('waystation-epoch') as string
}

async function homes(front: TestNginx, paths: readonly string[]): Promise<Map<string, string>> {
  const all = new Map<string, string>()
  for (const path of paths) all.set(path, await home(front, path))
  return all
}

const paths = (n: number): string[] => Array.from({ length: n }, (_, i) => `/room/${i}`)
const as = (user: number): { headers: Record<string, string> } => ({ headers: { Cookie: `theme=dark; user=${user}` } })

/** The example's own auth server. */
async function exampleAuth(t: TestContext): Promise<number> {
  const child = run(t, process.execPath, [fileURLToPath(new URL('../../examples/nginx/auth.ts', import.meta.url))], { env: { PORT: '0' } })
  await child.says(/listening on http:\S+\n/)
  return Number(/:(\d+)\n/.exec(child.stdout())?.[1])
}

test('the example configuration is valid as it stands', needs(NGINX), (t) => {
  const said = checkNginxConf(t)
  assert.match(said, /syntax is ok/)
  assert.doesNotMatch(said, /\[warn\]/)
  // Only root may use the folders that Debian gives nginx.
  if (process.getuid?.() === 0) assert.match(said, /test is successful/)
})

test('who uses the same path meets there, by WebSocket, POST and event stream, and paths spread over both hubs', needs(NGINX), async (t) => {
  const { hubs, front } = await scene(t)
  const found = await homes(front, paths(100))
  for (const hub of hubs) {
    const here = [...found.values()].filter((one) => one === epoch(hub)).length
    assert.ok(here >= 20, `${here} of 100 paths on one hub`)
    const path = [...found.keys()].find((key) => found.get(key) === epoch(hub)) as string
    const [one, two] = [await connect(t, front.ws + path), await connect(t, front.ws + path)]
    const stream = await openStream(t, front.url + path)
    one.send('by WebSocket')
    assert.deepEqual([await one.next(), await two.next(), (await stream.next()).data], Array(3).fill('by WebSocket'))
    const response = await post(front, path, { body: 'by POST' })
    assert.equal(response.headers.get('waystation-subscribers'), '3')
    assert.deepEqual([await one.next(), await two.next(), (await stream.next()).data], Array(3).fill('by POST'))
  }
  assert.deepEqual(await homes(front, paths(20)), new Map([...found].slice(0, 20)))
})

test('all spellings of a path, and all queries, lead to the same hub', needs(NGINX), async (t) => {
  const { front } = await scene(t)
  for (const spellings of [['/caf%C3%A9', '/caf%c3%a9', '/c%61f%C3%A9?x=1'], ['/room/1', '/room%2F1', '/r%6Fom/1?since=1', '/room/1?y']]) {
    const found = await homes(front, spellings)
    assert.equal(new Set(found.values()).size, 1, [...found].join(' '))
  }
  // Many, so that this is no luck: the raw byte form, which only a bare connection sends.
  for (let i = 0; i < 8; i++) {
    const answer = await exchange(t, front.port, Buffer.from(`POST /é/${i} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx`))
    assert.equal(/waystation-epoch: (\w+)/i.exec(answer)?.[1], await home(front, `/%C3%A9/${i}`))
  }
})

test('a further hub takes over some paths and moves no others', needs(NGINX), async (t) => {
  const { hubs, front } = await scene(t)
  const third = await startServer(t)
  const wider = await startNginx(t, { hubs: [...hubs, third].map((hub) => hub.port), auth: await serve(t, letAllPass) })
  const [before, after] = [await homes(front, paths(120)), await homes(wider, paths(120))]
  const moved = [...after].filter(([path, hub]) => before.get(path) !== hub)
  assert.ok(moved.length > 10 && moved.length < 80, `${moved.length} of 120 moved`)
  assert.deepEqual(new Set(moved.map(([, hub]) => hub)), new Set([epoch(third)]))
})

test('a hub that goes down moves its own paths, and those of the other notice nothing', needs(NGINX), async (t) => {
  const { hubs: [lost, left], front } = await scene(t) as { hubs: [Hub, Hub]; front: TestNginx }
  const before = await homes(front, paths(40))
  const on = (hub: Hub): string => [...before.keys()].find((path) => before.get(path) === epoch(hub)) as string
  const [moving, staying] = [await connect(t, front.ws + on(lost)), await connect(t, front.ws + on(left))]
  await lost.close()
  assert.equal((await moving.closed).code, 1001)
  assert.deepEqual(await homes(front, paths(40)), new Map(paths(40).map((path) => [path, epoch(left)])))
  const again = await connect(t, front.ws + on(lost))
  await post(front, on(lost), { body: 'moved' })
  await post(front, on(left), { body: 'stayed' })
  assert.equal(await again.next(), 'moved')
  assert.deepEqual([await staying.next(), await staying.next()], ['hello', 'stayed'])
})

test('the auth server rewrites the path before it is hashed, for WebSocket, POST and event stream', needs(NGINX), async (t) => {
  const { front } = await scene(t, { auth: await exampleAuth(t) })
  const mine = await connect(t, `${front.ws}/me/chan`, as(157))
  const direct = await connect(t, `${front.ws}/user/157/chan`, as(157))
  const stream = await openStream(t, `${front.url}/me/chan`, as(157).headers)
  const others = await connect(t, `${front.ws}/me/chan`, as(158))
  mine.send('by WebSocket')
  // Two connections have no order between them: the second message is sent when the first has come.
  for (const socket of [mine, direct]) assert.equal(await socket.next(), 'by WebSocket')
  assert.equal((await post(front, '/me/chan', { body: 'by POST', ...as(157) })).headers.get('waystation-subscribers'), '3')
  await post(front, '/me/chan', { body: 'for 158', ...as(158) })
  for (const socket of [mine, direct]) assert.equal(await socket.next(), 'by POST')
  assert.deepEqual((await stream.inbox.take(2)).map(({ data }) => data), ['by WebSocket', 'by POST'])
  assert.equal(await others.next(), 'for 158')

  // Many, so that a hash of anything but the final path would show; and the query goes along.
  for (const name of [...Array(20).keys(), 'café', 'a b', 'ü?#%']) {
    const end = encodeURIComponent(String(name))
    const [asked, final] = await Promise.all([`/me/${end}`, `/user/157/${end}`].map((path) => post(front, path, as(157))))
    assert.equal(asked?.status, 200)
    assert.equal(asked?.headers.get('waystation-epoch'), final?.headers.get('waystation-epoch'), String(name))
  }
  for (const name of ['chan', 'caf%C3%A9']) {
    const json = await connect(t, `${front.ws}/me/${name}?format=json`, as(157))
    await json.next()
    const far = await connect(t, `${front.ws}/user/157/${name}`, as(157))
    json.send('there')
    assert.equal(await far.next(), 'there')
    assert.equal(JSON.parse(await json.next()).data, 'there')
  }
})

test('whom the auth server refuses gets 403, whatever the way and the spelling, and no hub hears of it', needs(NGINX), async (t) => {
  const { hubs, front } = await scene(t, { auth: await exampleAuth(t) })
  const watches = hubs.map(({ hub }) => hub.subscribe('*'))
  for (const path of ['/user/158/chan', '/%75ser/158/chan', '/user%2F158%2Fchan', '/x%FF']) {
    assert.equal((await post(front, path, as(157))).status, 403, path)
    assert.equal((await fetch(front.url + path, { headers: { Accept: 'text/event-stream', ...as(157).headers } })).status, 403, path)
    await assert.rejects(connect(t, front.ws + path, as(157)), /refused with 403/, path)
  }
  assert.equal((await post(front, '/news')).status, 403)
  await Promise.all(hubs.map((hub) => hub.close()))
  for (const watch of watches) assert.equal((await watch.next()).done, true)
})

test('any other answer of the auth server is an error, and no hub hears of it', needs(NGINX), async (t) => {
  const answers: RequestListener = (request, response) => {
    const [, status, rewrite] = /^\/(\d+)\/?(.*)$/.exec(request.headers['x-original-uri'] as string) as unknown as [string, string, string]
    if (status === '999') return void request.socket.destroy()
    response.writeHead(Number(status), rewrite === '' ? {} : { 'X-Rewrite': rewrite, Location: '/elsewhere' }).end()
  }
  const { hubs, front } = await scene(t, { auth: answers })
  const watches = hubs.map(({ hub }) => hub.subscribe('*'))
  for (const path of ['/200', '/200/x', '/201', '/202', '/301/x', '/401', '/404', '/500', '/503', '/999', '/204/no-slash', '/204/http://x/y']) {
    const { status } = await post(front, path)
    assert.ok(status === 500 || status === 502, `${path} was answered ${status}`)
    await assert.rejects(connect(t, front.ws + path), /refused with 50[02]/, path)
  }
  assert.match(front.log(), /the-auth-server-answered-neither-204-nor-403/)
  assert.equal((await post(front, '/204')).status, 200)
  assert.equal((await post(front, '/403')).status, 403)
  await Promise.all(hubs.map((hub) => hub.close()))
  const heard: string[] = []
  for (const watch of watches) for await (const { topic } of watch) heard.push(topic)
  assert.deepEqual(heard, ['204'])
})

test('the hub\'s own pages are not shown to the world', needs(NGINX), async (t) => {
  const { front } = await scene(t)
  for (const path of ['/_/metrics', '/%5F/metrics', '//_/metrics', '/x/../_/healthz', '/_/sse?topic=*', '/_/auth']) {
    assert.match(await exchange(t, front.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), /^HTTP\/1.1 404 /, path)
  }
})

test('a connection on which the hub is silent is closed, and pings and heartbeats keep the others open', needs(NGINX), async (t) => {
  const lively: Config = { pingInterval: 250, heartbeat: 250 }
  const silent: Config = { pingInterval: 60_000, pongDeadline: 90_000, heartbeat: 60_000 }
  const { hubs, front } = await scene(t, { hubs: [lively, silent], change: { 'proxy_read_timeout 95s;': 'proxy_read_timeout 3s;' } })
  const found = await homes(front, paths(40))
  const [kept, cut] = hubs.map((hub) => [...found.keys()].find((path) => found.get(path) === epoch(hub)) as string) as [string, string]
  const [socket, stream] = [await connect(t, front.ws + kept), await openStream(t, front.url + kept)]
  // Opened later: when these are gone, the others have been idle for longer than nginx waits.
  const [silentSocket, silentStream] = [await connect(t, front.ws + cut), await openStream(t, front.url + cut)]
  assert.equal((await silentSocket.closed).code, 1006)
  await silentStream.ended
  await post(front, kept, { body: 'still here' })
  assert.deepEqual([await socket.next(), (await stream.next()).data], ['still here', 'still here'])
})

test('of the client\'s headers the hubs get those of the protocol only, and the address comes from nginx', needs(NGINX), async (t) => {
  const seen: string[][] = []
  let connections = 0
  const hub = createServer((request, response) => {
    seen.push(request.rawHeaders)
    request.resume().on('end', () => response.end())
  }).on('connection', () => connections++)
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    hub.close()
    hub.closeAllConnections()
  })
  // With percent signs, so that it goes the long way round.
  const rewrites: RequestListener = (_request, response) => response.writeHead(204, { 'X-Rewrite': '/a%20b' }).end()
  const port = (hub.address() as AddressInfo).port
  const fronts = [
    await startNginx(t, { hubs: [port, port], auth: await serve(t, letAllPass) }),
    await startNginx(t, { hubs: [port, port], auth: await serve(t, rewrites) }),
  ]
  const own = {
    Cookie: 'user=157', Authorization: 'Bearer x', 'User-Agent': 'x', 'X-Forwarded-For': '203.0.113.9', 'X-Real-IP': '203.0.113.9', Forwarded: 'for=203.0.113.9',
    Via: '1.1 x', Referer: 'http://x/', 'Accept-Language': 'en', 'X-Rewrite': '/other', 'X-Own': 'x', TE: 'trailers', 'Content-Type': 'text/x',
  }
  const protocol = { Origin: 'https://a.example', Accept: 'text/event-stream', 'Last-Event-ID': 'a:1', 'Sec-WebSocket-Protocol': 'p', 'Sec-WebSocket-Extensions': 'e' }
  /** What the hub was told when the client said this. */
  const told = async (front: TestNginx, headers: Record<string, string>): Promise<[string, string][]> => {
    seen.length = 0
    const client = await raw(t, front.port)
    client.send(handshake('/x', headers))
    await client.until((received) => received.includes('\r\n\r\n'))
    client.socket.destroy()
    return pairs(seen[0] as string[])
  }
  for (const front of fronts) {
    const all = await told(front, { ...own, ...protocol, Connection: 'keep-alive, Upgrade', Host: 'hub.example:8443' })
    assert.deepEqual(Object.fromEntries(all), {
      host: 'hub.example:8443', connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'x-forwarded-for': '127.0.0.1', ...Object.fromEntries(Object.entries(protocol).map(([name, value]) => [name.toLowerCase(), value])),
    })
    const plain = await told(front, { ...own, Upgrade: 'h2c', Connection: 'Upgrade' })
    assert.deepEqual(plain.map(([name]) => name).sort(), ['host', 'sec-websocket-key', 'sec-websocket-version', 'x-forwarded-for'])
    seen.length = 0
    connections = 0
    for (let i = 0; i < 30; i++) await post(front, '/x', { headers: { 'X-Own': 'x' } })
    assert.deepEqual(new Set(seen.flatMap((one) => pairs(one).map(([name]) => name))), new Set(['host', 'accept', 'content-length', 'x-forwarded-for']))
    assert.ok(connections <= 4, `${connections} connections for 30 POSTs`)
  }
})

function pairs(rawHeaders: readonly string[]): [string, string][] {
  return rawHeaders.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1] as string]] : []))
}

test('a hub that trusts nginx counts the clients behind it, each by its own address', needs(NGINX), async (t) => {
  // All clients here come from loopback, so nginx is told to take another header's word for where they come from.
  const extra = 'set_real_ip_from 127.0.0.1; real_ip_header X-Test-Client;'
  const from = (address: string) => ({ headers: { 'X-Test-Client': address, 'X-Forwarded-For': '198.51.100.1', ...as(157).headers } })
  const { front } = await scene(t, { hubs: [{ maxConnectionsPerAddress: 1 }], extra, auth: await exampleAuth(t) })
  for (const path of ['/a', '/me/a%20b']) {
    const first = await connect(t, front.ws + path, from('203.0.113.7'))
    await assert.rejects(connect(t, `${front.ws}/b`, from('203.0.113.7')), /refused with 429/)
    await assert.rejects(connect(t, front.ws + path, from('203.0.113.7')), /refused with 429/)
    const other = await connect(t, front.ws + path, from('203.0.113.8'))
    for (const socket of [first, other]) socket.ws.close()
    await Promise.all([first.closed, other.closed])
  }
  const { front: untold } = await scene(t, { hubs: [{ maxConnectionsPerAddress: 1, trustedProxies: [] }], extra, auth: await exampleAuth(t) })
  await connect(t, `${untold.ws}/a`, from('203.0.113.7'))
  await connect(t, `${untold.ws}/a`, from('203.0.113.7'))
})
