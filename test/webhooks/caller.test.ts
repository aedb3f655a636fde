import assert from 'node:assert/strict'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { buildConnector } from 'undici'
import type { LargeBody } from '../../src/core/message.ts'
import type { Clock } from '../../src/core/ports.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { realClock } from '../../src/server/real-world.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { createCaller, MAX_ANSWER, type Answer, type Caller, type Outgoing } from '../../src/webhooks/caller.ts'
import { createSlots } from '../../src/webhooks/slots.ts'
import { parseTarget, type Target } from '../../src/webhooks/target.ts'
import { until } from '../support/events.ts'

const TIMES = { webhookReadTimeout: 5_000, webhookTotalTimeout: 30_000 }

function openCaller(t: TestContext, times: Partial<typeof TIMES> = {}, { total = 100, perHost = 10, clock = realClock }: { total?: number; perHost?: number; clock?: Clock } = {}) {
  const slots = createSlots({ total, perHost })
  const connect = buildConnector({ timeout: 1_000 })
  const opened: Socket[] = []
  const connector: typeof connect = (options, callback) => connect(options, (...args) => {
    if (args[1] !== null) opened.push(args[1])
    callback(...args)
  })
  const caller = createCaller({ connector, slots, wheel: createWheel(clock, 10), times: { ...TIMES, ...times } })
  t.after(() => caller.close())
  return { caller, slots, opened }
}

async function listen(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const serve = async (t: TestContext, listener: RequestListener): Promise<string> => {
  const server = createServer(listener)
  t.after(() => server.closeAllConnections())
  return listen(t, server)
}

/** A server of raw bytes. */
async function serveRaw(t: TestContext, connected: (socket: Socket, nth: number) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    connected(socket, sockets.size)
  })
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  return listen(t, server)
}

const to = (url: string, more: Partial<Outgoing> = {}): Outgoing => ({ target: parseTarget(url) as Target, headers: { Authorization: 'secret', 'Waystation-Relay': 'proof' }, parts: [Buffer.from('hello')], ...more })
const text = (answer: Answer): string => ('failure' in answer ? `failed: ${answer.failure}` : `${answer.status} ${answer.body.toString()}`)

/** A connection serves again only a turn after its answer. */
async function aTurnLater(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

test('a call sends its parts as one body and gives the answer whatever its status; the connection serves again', async (t) => {
  const { caller, slots, opened } = openCaller(t)
  const url = await serve(t, async (request, response) => {
    const body = (await request.toArray()).join('')
    response.writeHead(418).end(`${request.method} ${request.url} ${request.headers['content-length']} ${request.headers.host} ${body}`)
  })
  for (let i = 0; i < 3; i++) {
    const answer = await caller.call(to(`${url}/a?b`, { parts: [Buffer.from('hel'), Buffer.from('lo')] }))
    assert.equal(text(answer), `418 POST /a?b 5 ${url.slice(7)} hello`)
    await aTurnLater()
  }
  assert.deepEqual([opened.length, slots.running], [1, 0])
})

test('a body of many parts that is too long to be joined goes out whole', async (t) => {
  const { caller } = openCaller(t)
  const url = await serve(t, async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    response.end(`${request.headers['content-length']} ${body.length}`)
  })
  const big = Buffer.alloc(1_000_000, 'x')
  assert.equal(text(await caller.call(to(url, { parts: [Buffer.from('head'), big] }))), '200 1000004 1000004')
})

for (const status of [307, 308]) {
  test(`a ${status} is followed with method and body, and proves nothing to another origin`, async (t) => {
    const { caller } = openCaller(t)
    const seen: unknown[] = []
    const end = await serve(t, async (request, response) => {
      seen.push([request.headers.authorization, request.headers['waystation-relay']])
      response.end(`${request.method} ${request.headers.host} ${(await request.toArray()).join('')}`)
    })
    const start = await serve(t, (request, response) => {
      seen.push([request.headers.authorization, request.headers['waystation-relay']])
      response.writeHead(status, { Location: request.url === '/1' ? '/2' : `${end}/3` }).end('moved')
    })
    assert.equal(text(await caller.call(to(`${start}/1`))), `200 POST ${end.slice(7)} hello`)
    assert.deepEqual(seen, [['secret', 'proof'], ['secret', 'proof'], [undefined, undefined]])
  })
}

for (const status of [301, 302, 303]) {
  test(`a ${status} is an answer like any other`, async (t) => {
    const { caller } = openCaller(t)
    const url = await serve(t, (request, response) => response.writeHead(status, { Location: '/2' }).end(request.url))
    assert.equal(text(await caller.call(to(`${url}/1`))), `${status} /1`)
  })
}

test('five redirects are followed and a sixth is not; one to no url is a failure', async (t) => {
  const { caller } = openCaller(t)
  const url = await serve(t, (request, response) => {
    const left = Number(request.url?.slice(1))
    if (left === 0) response.end('there')
    else response.writeHead(307, { Location: left === 99 ? 'http://' : `/${left - 1}` }).end()
  })
  assert.equal(text(await caller.call(to(`${url}/5`))), '200 there')
  assert.match(text(await caller.call(to(`${url}/6`))), /without an end/)
  assert.match(text(await caller.call(to(`${url}/99`))), /no URL/)
})

test('an answer is cut at 64 KiB, also one of a redirect and one that comes byte by byte, and its connection ends', async (t) => {
  const { caller, opened } = openCaller(t)
  const url = await serve(t, (request, response) => {
    if (request.url === '/moved') response.writeHead(307, { Location: '/there' })
    const piece = Buffer.alloc(request.url === '/tiny' ? 7 : 10_000, 'x')
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  })
  for (const path of ['/', '/tiny']) {
    const answer = await caller.call(to(url + path))
    assert.ok('body' in answer && answer.body.length === MAX_ANSWER, path)
  }
  assert.equal(text(await caller.call(to(`${url}/moved`))), '307 ')
  await until(() => opened.every((socket) => socket.destroyed), 'all connections end')
})

test('silence past the read timeout is told once, and the answer still counts', async (t) => {
  const { caller } = openCaller(t, { webhookReadTimeout: 40 })
  const asked = Promise.withResolvers<ServerResponse>()
  const url = await serve(t, (_, response) => asked.resolve(response))
  let late = 0
  const told = Promise.withResolvers<void>()
  const called = caller.call(to(url), () => {
    late++
    told.resolve()
  })
  await told.promise;
  // On a busy machine the request may have been on its way for so long.
  (await asked.promise).end('late')
  assert.equal(text(await called), '200 late')
  assert.equal(late, 1)
})

test('a call ends at the total timeout: of silence, of an endless trickle, and where nobody takes the connection', async (t) => {
  const { caller, slots } = openCaller(t, { webhookReadTimeout: 50, webhookTotalTimeout: 1_000 })
  const trickle = await serve(t, (_, response) => {
    const timer = setInterval(() => response.write('x'), 10)
    response.on('close', () => clearInterval(timer))
  })
  const silent = await serveRaw(t, () => {})
  let late = 0
  const answers = await Promise.all([caller.call(to(trickle), () => late++), caller.call(to(silent), () => late++)])
  for (const answer of answers) assert.match(text(answer), /^failed: no answer within/)
  assert.deepEqual([late, slots.running], [2, 0])
})

test('who answers byte by byte is late like the silent, and gives its place to one who waits', async (t) => {
  const { caller } = openCaller(t, { webhookReadTimeout: 100 }, { total: 3 })
  const drips = await serve(t, (request, response) => {
    request.resume()
    const timer = setInterval(() => response.write('x'), 10)
    response.on('close', () => clearInterval(timer))
  })
  const good = await serve(t, (_, response) => response.end('ok'))
  let late = 0
  const dripping = Array.from({ length: 3 }, () => caller.call(to(drips), () => late++))
  assert.equal(text(await caller.call(to(good))), '200 ok')
  assert.match(text(await Promise.race(dripping)), /others wait for its place/)
  assert.ok(late >= 2)
})

/** A large body whose pieces come one by one, each as soon as the one before was taken and `more` was called. */
function handed(size: number, piece: number): { large: LargeBody; more(): Promise<void> } {
  let asked = Promise.withResolvers<void>()
  let given = Promise.withResolvers<void>()
  return {
    large: {
      size, hold() {}, letGo() {},
      async *read() {
        for (let left = size; left > 0; left -= piece) {
          asked.resolve()
          await given.promise
          given = Promise.withResolvers()
          yield Buffer.alloc(Math.min(left, piece))
        }
        asked.resolve()
      },
    },
    async more() {
      await asked.promise
      asked = Promise.withResolvers()
      given.resolve()
      await asked.promise
    },
  }
}

async function turns(clock: ManualClock, ms: number): Promise<void> {
  for (let i = 0; i < ms; i += 100) clock.advance(100)
  await clock.settle()
}

test('a large body that is taken at a fair pace makes nobody late, one taken by drops does; and its answer has all of its time', async (t) => {
  const clock = createManualClock()
  const { caller } = openCaller(t, {}, { clock })
  const url = await serve(t, (request) => void request.resume())
  const fair = handed(4.5 * 1_048_576, 1_048_576)
  const drops = handed(4.5 * 1_048_576, 200_000)
  const late = { fair: 0, drops: 0 }
  void caller.call(to(url, { large: fair.large }), () => late.fair++)
  void caller.call(to(url, { large: drops.large }), () => late.drops++)
  for (let i = 0; i < 5; i++) {
    await Promise.all([fair.more(), drops.more()])
    await turns(clock, 3_000)
  }
  assert.deepEqual(late, { fair: 0, drops: 1 })
  await turns(clock, 2_500)
  assert.deepEqual(late, { fair: 1, drops: 1 })
})

test('a large body goes to where one redirect leads, and not round in a ring', async (t) => {
  const { caller } = openCaller(t)
  let bytes = 0
  const url = await serve(t, (request, response) => {
    request.on('data', (piece: Buffer) => (bytes += piece.length))
    request.on('end', () => (request.url === '/end' ? response.end('there') : response.writeHead(307, { Location: request.url === '/once' ? '/end' : '/ring' }).end()))
  })
  const size = 1_000_000
  const large: LargeBody = { size, hold() {}, letGo() {}, async *read() { yield Buffer.alloc(size) } }
  assert.equal(text(await caller.call(to(`${url}/once`, { parts: [], large }))), '200 there')
  assert.equal(bytes, 2 * size)
  assert.match(text(await caller.call(to(`${url}/ring`, { parts: [], large }))), /without an end/)
  assert.equal(bytes, 4 * size)
})

test('who is redirected takes a place of the host it is sent to, and gives back its own', async (t) => {
  // Time stands still, so that nobody is slow.
  const { caller, slots } = openCaller(t, {}, { perHost: 2, clock: createManualClock() })
  const responses: (() => void)[] = []
  let most = 0
  const end = await serve(t, (request, response) => {
    request.resume()
    most = Math.max(most, responses.push(() => response.end('there')))
  })
  const starts = await Promise.all(Array.from({ length: 5 }, () => serve(t, (request, response) => {
    request.resume()
    response.writeHead(307, { Location: request.url === '/stays' ? '/there' : request.url === '/there' ? '/' : end }).end()
  })))
  const calls = starts.map((url, i) => caller.call(to(i === 0 ? `${url}/stays` : url)))
  await until(() => slots.waiting === 3 && responses.length === 2, 'two are there, and three wait')
  assert.equal(slots.running, 2)
  for (let left = 5; left > 0; left--) {
    await until(() => responses.length > 0, 'one is there')
    responses.shift()?.()
  }
  for (const answer of await Promise.all(calls)) assert.equal(text(answer), '200 there')
  assert.deepEqual([most, slots.running, slots.waiting], [2, 0, 0])
})

test('who waits for a place where it was sent to is late like any other', async (t) => {
  const clock = createManualClock()
  const { caller, slots } = openCaller(t, {}, { total: 2, perHost: 1, clock })
  const hangs = await serve(t, (request) => void request.resume())
  const start = await serve(t, (request, response) => {
    request.resume()
    response.writeHead(307, { Location: `${hangs}/x` }).end()
  })
  let late = 0
  const first = caller.call(to(hangs), () => late++)
  const second = caller.call(to(start), () => late++)
  await until(() => slots.waiting === 1, 'the second waits')
  await turns(clock, 5_300)
  assert.equal(late, 2)
  assert.deepEqual([slots.running, slots.waiting], [2, 0])
  await turns(clock, 30_000)
  for (const answer of await Promise.all([first, second])) assert.match(text(answer), /no answer within/)
  assert.deepEqual([late, slots.running], [2, 0])
})

test('who was late before it was sent elsewhere gives way there to one who waits', async (t) => {
  const clock = createManualClock()
  const { caller, slots } = openCaller(t, {}, { total: 1, clock })
  let arrived = 0
  const hangs = await serve(t, (request) => {
    request.resume()
    arrived++
  })
  const good = await serve(t, (_, response) => response.end('ok'))
  const redirect = Promise.withResolvers<() => void>()
  const start = await serve(t, (request, response) => {
    request.resume()
    redirect.resolve(() => response.writeHead(307, { Location: hangs }).end())
  })
  const first = caller.call(to(start))
  const send = await redirect.promise
  await turns(clock, 5_300)
  send()
  await until(() => arrived === 1, 'it is there')
  const second = caller.call(to(good))
  assert.deepEqual([slots.running, slots.waiting], [1, 0])
  assert.equal(text(await second), '200 ok')
  assert.match(text(await first), /others wait/)
})

test('a large body that somebody stops taking is over after the total timeout, whatever its size allows', async (t) => {
  const clock = createManualClock()
  const { caller } = openCaller(t, { webhookReadTimeout: 50, webhookTotalTimeout: 150 }, { clock })
  const url = await serveRaw(t, (socket) => socket.pause())
  let pieces = 0
  const large = {
    size: 2 ** 33, hold() {}, letGo() {},
    async *read() {
      for (;; pieces++) yield Buffer.alloc(262_144)
    },
  }
  let late = 0
  const called = caller.call(to(url, { large }), () => late++)
  await until(() => pieces > 0, 'that some of it is taken')
  clock.advance(80)
  assert.equal(late, 1)
  clock.advance(400)
  assert.match(text(await called), /no answer within/)
  assert.equal(late, 1)
})

test('nobody there is a failure at once', async (t) => {
  const { caller } = openCaller(t)
  const server = createTcpServer()
  const url = await listen(t, server)
  await new Promise((resolve) => server.close(resolve))
  assert.match(text(await caller.call(to(url))), /^failed: .*ECONNREFUSED/)
})

/** Answers the first request of each of the first two connections, and ends them in some way when the second comes. */
function breaking(t: TestContext, breakOff: (socket: Socket) => void, seen: string[]): Promise<string> {
  return serveRaw(t, (socket, nth) => {
    let requests = 0
    socket.on('data', () => {
      requests++
      seen.push(`${nth}.${requests}`)
      if (requests === 1) socket.write(OK)
      else breakOff(socket)
    })
  })
}

for (const [how, breakOff] of [['with an end', (socket: Socket) => socket.end()], ['with a reset', (socket: Socket) => socket.resetAndDestroy()]] as const) {
  for (const size of [10, 100_000]) {
    test(`an idle connection that ends ${how} just as ${size} bytes are sent costs no message: they go once more on a new one`, async (t) => {
      const { caller, opened } = openCaller(t)
      const seen: string[] = []
      const url = await breaking(t, breakOff, seen)
      assert.equal(text(await caller.call(to(url))), '200 ok')
      await aTurnLater()
      assert.equal(text(await caller.call(to(url, { parts: [Buffer.alloc(size)] }))), '200 ok')
      assert.equal(opened.length, 2)
      assert.equal(seen[1], '1.2')
    })
  }
}

test('what breaks off on a new connection, or after a byte of the answer, is not sent again', async (t) => {
  const { caller, opened } = openCaller(t)
  const fresh = await serveRaw(t, (socket) => socket.on('data', () => socket.end()))
  assert.match(text(await caller.call(to(fresh))), /^failed: /)
  assert.equal(opened.length, 1)
  const begun = await breaking(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx'), [])
  await caller.call(to(begun))
  await aTurnLater()
  assert.match(text(await caller.call(to(begun))), /^failed: /)
  assert.equal(opened.length, 2)
})

test('what is sent once more goes on a new connection, though another idle one is there', async (t) => {
  const { caller, opened } = openCaller(t)
  const url = await breaking(t, (socket) => socket.end(), [])
  await Promise.all([caller.call(to(url)), caller.call(to(url))])
  await aTurnLater()
  assert.equal(text(await caller.call(to(url))), '200 ok')
  assert.equal(opened.length, 3)
})

test('a server that breaks off every time gets a message twice at most', async (t) => {
  const { caller } = openCaller(t)
  let requests = 0
  const url = await serveRaw(t, (socket) => socket.on('data', () => (++requests === 1 ? socket.write(OK) : socket.end())))
  await caller.call(to(url))
  await aTurnLater()
  assert.match(text(await caller.call(to(url))), /^failed: /)
  assert.equal(requests, 3)
})

test('closing ends what runs and what waits, at once, with no further request, and leaves no connection', async (t) => {
  const { caller, slots, opened } = openCaller(t)
  let requests = 0
  const url = await serve(t, () => void requests++)
  const calls = Array.from({ length: 50 }, () => caller.call(to(url)))
  await until(() => requests === 10, 'ten run')
  await caller.close()
  for (const answer of await Promise.all(calls)) assert.match(text(answer), /stopping/)
  assert.match(text(await caller.call(to(url))), /stopping/)
  await until(() => opened.every((socket) => socket.destroyed), 'all connections end')
  assert.deepEqual([requests, opened.length, slots.running, slots.waiting], [10, 10, 0, 0])
})

test('a thousand calls to a host keep to its places', async (t) => {
  const { caller } = openCaller(t)
  let running = 0
  let most = 0
  const url = await serve(t, (_, response) => {
    most = Math.max(most, ++running)
    setImmediate(() => {
      running--
      response.end('ok')
    })
  })
  const call = (c: Caller): Promise<string> => c.call(to(url)).then(text)
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => call(caller)))
  assert.ok(answers.every((answer) => answer === '200 ok'))
  assert.ok(most <= 10, `${most} at once`)
})
