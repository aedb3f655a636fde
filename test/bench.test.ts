import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { WebSocketServer, type WebSocket } from 'ws'
import { CONTENDERS } from '../bench/contenders.ts'
import { GATE_SCENARIOS, parseGateOptions } from '../bench/gate-options.ts'
import { judge, recordedIn, sentenceOf, verdictOf } from '../bench/gate.ts'
import { figuresOf } from '../bench/generator.ts'
import { KEY_SCENARIOS, parseKeyOptions } from '../bench/key-options.ts'
import { loadFanOut } from '../bench/load/fan-out.ts'
import { createFrameReader, createFrameWriter, STAMPS, type FrameState } from '../bench/load/frames.ts'
import { createHistogram } from '../bench/load/histogram.ts'
import { loadIdle } from '../bench/load/idle.ts'
import { schemeOf } from '../bench/load/lonelyps.ts'
import { loadNotify } from '../bench/load/notify.ts'
import { createAnswerer } from '../bench/load/receivers.ts'
import { parseOptions } from '../bench/options.ts'
import { LINK_SCENARIOS, parseLinkOptions } from '../bench/link-options.ts'
import { parsePeerOptions, PEER_SCENARIOS } from '../bench/peer-options.ts'
import { plotOf } from '../bench/peer-plot.ts'
import { comparedWith, summaryOf } from '../bench/peer-tables.ts'
import { rateWithRoom } from '../bench/peers.ts'
import { escapeXml, renderPlot } from '../bench/plot.ts'
import { runLoad, startServer } from '../bench/processes.ts'
import { ROWS, type RowName } from '../bench/rows.ts'
import { withSection } from '../bench/section.ts'
import { parseServiceOptions, SERVICE_SCENARIOS } from '../bench/service-options.ts'
import { NAMES, rowsOf } from '../bench/service-rows.ts'
import { besideGrpc } from '../bench/services.ts'
import { parseSocketOptions, SOCKET_SCENARIOS } from '../bench/socket-options.ts'
import { median, renderTable } from '../bench/table.ts'
import type { Task } from '../bench/task.ts'
import { buildTools } from '../bench/tools.ts'
import { parseWebhookOptions, SCENARIOS } from '../bench/webhook-options.ts'
import { createChecker } from '../src/protocol/lonelyps/authorization.ts'
import { claims } from '../src/protocol/lonelyps/claims.ts'
import { encodeNotifyResponse, parseConfirmReceive } from '../src/protocol/lonelyps/responses.ts'
import type { Notify, NotifyPart, ToSubscriber } from '../src/protocol/lonelyps/stateful/messages.ts'
import { parseToBroadcaster } from '../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { encodeToSubscriber } from '../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { frame } from '../src/protocol/websocket/frame.ts'
import { run } from './support/process.ts'

// The bench is tested for what it says and counts, never for how fast anything is.

const MAIN = fileURLToPath(new URL('../bench/main.ts', import.meta.url))
const SCALE = { warmup: 0, seconds: 1, subscribers: 1, rate: 1, size: 1, idle: 1 }
const TINY = ['--rounds', '1', '--seconds', '0.1', '--warmup', '0.05', '--subscribers', '8', '--idle', '20']

interface Results {
  readonly versions: Record<string, string>
  readonly notes: readonly string[]
  readonly rows: readonly { name: string; title: string; medians: Record<'ours' | 'peer' | 'ratio', Record<string, number>> }[]
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'waystation-bench-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

function resultsIn(path: string): Results {
  const [file, ...others] = readdirSync(path)
  assert.deepEqual(others, [])
  return JSON.parse(readFileSync(join(path, file as string), 'utf8')) as Results
}

test('the bench measures each kind of row on both servers, prints the table and writes the figures', async (t) => {
  // The others are the same load in other numbers.
  const kinds = ['many', 'rate', 'idle', 'post'] as const satisfies readonly RowName[]
  assert.deepEqual(new Set(Object.values(ROWS).map(({ task }) => task(SCALE).kind)), new Set(kinds.map((name) => ROWS[name].task(SCALE).kind)))
  const results = folder(t)
  const bench = run(t, process.execPath, [MAIN, ...TINY, ...kinds.flatMap((name) => ['--only', name]), '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr())
  const { rows, versions } = resultsIn(results)
  assert.deepEqual(rows.map(({ name }) => name), kinds)
  assert.equal(versions['node'], process.version)
  for (const { name, title, medians: { ours, peer, ratio } } of rows) {
    const lines = bench.stdout().split('\n')
    const at = lines.indexOf(title)
    assert.notEqual(at, -1, `no row ${title} in\n${bench.stdout()}`)
    assert.deepEqual(lines.slice(at + 1, at + 4).map((line) => line.trim().split(/ {2,}/)[0]), ['Waystation', 'ws loop', 'Waystation / ws loop'])
    const expected = name === 'idle' ? ['kib'] : ['perSecond', 'cpu', 'p50', 'p99']
    for (const figures of [ours, peer]) {
      assert.deepEqual(Object.keys(figures), expected)
      assert.ok(Object.values(figures).every(Number.isFinite), `${name}: ${JSON.stringify(figures)}`)
    }
    assert.deepEqual(Object.keys(ratio), expected)
  }
})

test('the bench of webhooks measures each scenario, prints tables as Markdown and writes the figures', async (t) => {
  const results = folder(t)
  const tiny = ['--ends', '--rounds', '1', '--seconds', '0.2', '--warmup', '0', '--subscribers', '1', '--publishers', '1', '--healthy', '2', '--rate', '40', '--huge', '12MiB']
  const bench = run(t, process.execPath, [MAIN, 'webhooks', ...tiny, '--dir', folder(t), '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr())
  const { rows } = resultsIn(results) as unknown as { rows: { scenario: string; of: Record<string, unknown>; medians: Record<string, number> }[] }
  const tables = bench.stdout().split('\n').filter((line) => line.startsWith('| '))
  // A head and a line below it for each of three tables.
  assert.equal(tables.length, rows.length + 3 * 2, bench.stdout())
  assert.deepEqual([...new Set(rows.map(({ scenario }) => scenario))], Object.keys(SCENARIOS))
  for (const { scenario, of, medians } of rows) {
    assert.ok(Object.values(medians).every((figure) => Number.isFinite(figure) && figure >= 0), `${scenario} ${JSON.stringify(of)}: ${JSON.stringify(medians)}`)
    if (scenario === 'notify') assert.equal('webhooks' in medians, of['subscribers'] !== 0)
    if (scenario === 'huge') assert.deepEqual([medians['left'], medians['leftHalfSent'], medians['leftHalfTaken']], [0, 0, 0])
  }
})

test('the bench of WebSockets measures each scenario, prints tables as Markdown and writes the figures', async (t) => {
  const results = folder(t)
  const tiny = ['--ends', '--rounds', '1', '--seconds', '0.05', '--warmup', '0', '--subscribers', '1', '--large', '4MiB', '--messages', '20']
  const bench = run(t, process.execPath, [MAIN, 'sockets', ...tiny, '--dir', folder(t), '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr() + bench.stdout())
  const { rows } = resultsIn(results) as unknown as { rows: { scenario: string; of: Record<string, unknown>; medians: Record<string, number> }[] }
  const tables = bench.stdout().split('\n').filter((line) => line.startsWith('| '))
  assert.equal(tables.length, rows.length + 4 * 2, bench.stdout())
  assert.deepEqual([...new Set(rows.map(({ scenario }) => scenario))], Object.keys(SOCKET_SCENARIOS))
  for (const { scenario, of, medians } of rows) {
    assert.ok(Object.values(medians).every((figure) => Number.isFinite(figure) && figure >= 0), `${scenario} ${JSON.stringify(of)}: ${JSON.stringify(medians)}`)
    if (scenario !== 'bytes') continue
    const { plain = 0, bodyIn = 0, bodyOut = 0, frameIn = 0, frameOut = 0 } = medians
    assert.ok(frameIn > bodyIn + 64 && frameOut > bodyOut + 64, 'a frame has a digest in its headers')
    if (of['compressor'] === 'none') assert.deepEqual([bodyIn, bodyOut], [plain, plain])
    else assert.ok(bodyIn < plain && bodyOut < plain, JSON.stringify(medians))
  }
})

test('the bench of API keys measures each scenario, with as many publishers as files may be open, and writes the figures', { skip: process.platform === 'win32' && 'there is no ulimit' }, async (t) => {
  const results = folder(t)
  const tiny = ['--ends', '--rounds', '1', '--seconds', '0.05', '--warmup', '0', '--together', '8', '--subscribers', '1', '--window', '1', '--dir', folder(t), '--results', results]
  const bench = run(t, '/bin/sh', ['-c', 'ulimit -n 320 && exec "$0" "$@"', process.execPath, MAIN, 'keys', ...tiny])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr() + bench.stdout())
  assert.match(bench.stdout(), /^Only 20 publishers instead of 5000: a process may have 320 open files here \(ulimit -n\)\.$/m)
  const { rows } = resultsIn(results) as unknown as { rows: { scenario: string; of: Record<string, unknown>; medians: Record<string, number> }[] }
  const tables = bench.stdout().split('\n').filter((line) => line.startsWith('| '))
  assert.equal(tables.length, rows.length + 3 * 2, bench.stdout())
  assert.deepEqual([...new Set(rows.map(({ scenario }) => scenario))], Object.keys(KEY_SCENARIOS))
  assert.deepEqual(rows.flatMap(({ of }) => of['keys'] ?? []), ['hashed', 'plain'])
  for (const { scenario, of, medians: { kib, cpuRatio = NaN, loopRatio = NaN, ...medians } } of rows) {
    // The system counts CPU in hundredths of a second: on a busy machine a twentieth may have none, and then there is no ratio.
    for (const ratio of [cpuRatio, loopRatio]) assert.ok(ratio === null || Number.isNaN(ratio) || ratio >= 0, `${ratio}`)
    assert.ok(Object.values(medians).every((figure) => Number.isFinite(figure) && figure >= 0), `${scenario} ${JSON.stringify(of)}: ${JSON.stringify(medians)}`)
    // Of so few, garbage may be more than they are.
    assert.equal(Number.isFinite(kib), scenario === 'opening')
  }
})

test('the bench of links measures both forms beside raw TLS, prints a table as Markdown and writes the figures', async (t) => {
  const results = folder(t)
  const tiny = ['--only', 'one', '--rounds', '1', '--seconds', '0.05', '--warmup', '0', '--window', '4KiB']
  const bench = run(t, process.execPath, [MAIN, 'links', ...tiny, '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr() + bench.stdout())
  const { rows } = resultsIn(results) as unknown as { rows: { of: Record<string, unknown>; medians: Record<string, number> }[] }
  assert.deepEqual(rows.map(({ of }) => of['form']), ['ponyexpress', 'waystation'])
  for (const { of, medians: { p50, p99, cpuRatio = NaN, ...medians } } of rows) {
    assert.ok(Object.values(medians).every((figure) => Number.isFinite(figure) && figure >= 0), `${JSON.stringify(of)}: ${JSON.stringify(medians)}`)
    // The system counts CPU in hundredths of a second: on a busy machine a twentieth may have none.
    assert.ok(medians['rawCpu'] === 0 || Number.isFinite(cpuRatio), `${cpuRatio}`)
    assert.ok(p50 === null && p99 === null, 'nobody looks at single messages')
  }
  const tables = bench.stdout().split('\n').filter((line) => line.startsWith('| '))
  assert.equal(tables.length, rows.length + 2, bench.stdout())
})

test('the bench of services measures who calls and who answers, prints a table as Markdown and writes the figures', async (t) => {
  const results = folder(t)
  const tiny = ['--only', 'direct', '--ends', '--rounds', '1', '--seconds', '0.05', '--warmup', '0', '--concurrent', '1', '--pipelined', '1']
  const bench = run(t, process.execPath, [MAIN, 'services', ...tiny, '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr() + bench.stdout())
  const { rows, versions } = resultsIn(results) as unknown as { rows: { of: Record<string, unknown>; medians: Record<string, number> }[]; versions: Record<string, string> }
  assert.deepEqual(rows.map(({ of }) => of), [{ 'under way': 1, by: NAMES['erps-tcp'] }, { 'under way': 1, by: NAMES.http }])
  assert.match(versions['grpc'] ?? '', /^\d+\.\d+\.\d+$/)
  for (const { of, medians } of rows) {
    for (const name of ['perSecond', 'p50', 'p99', 'cpuMicroseconds', 'callerCpu']) assert.ok(name in medians, name)
    assert.ok(Object.values(medians).every((figure) => Number.isFinite(figure) && figure >= 0), `${JSON.stringify(of)}: ${JSON.stringify(medians)}`)
  }
  const tables = bench.stdout().split('\n').filter((line) => line.startsWith('| '))
  assert.equal(tables.length, rows.length + 2, bench.stdout())
})

test('the bench of peers measures those who are there, says who is not, and writes tables, figures and a plot', async (t) => {
  const results = folder(t)
  const servers = 'floor,waystation,bare-node,ws-loop,socket.io,bare-post'
  const tiny = ['--only', 'channels', '--only', 'post', '--only', 'subscribers', '--servers', servers, '--tools', join(results, 'nothing'), '--rounds', '1', '--seconds', '0.05', '--warmup', '0', '--subscribers', '8', '--idle', '20']
  const bench = run(t, process.execPath, [MAIN, ...tiny, '--peers', '--results', results])
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr() + bench.stdout())
  assert.deepEqual(readdirSync(results).map((name) => name.replace(/^.*\./, '')).toSorted(), ['json', 'svg'])
  const { rows, notes, versions } = JSON.parse(readFileSync(join(results, readdirSync(results).find((name) => name.endsWith('.json')) as string), 'utf8')) as
    { rows: { scenario: string; of: Record<string, unknown>; medians: Record<string, number | null> }[]; notes: string[]; versions: Record<string, string> }
  const title = (name: keyof typeof CONTENDERS): string => CONTENDERS[name].title
  assert.deepEqual(rows.map(({ scenario, of }) => [scenario, of['server']]), [
    ['channels', title('waystation')], ['channels', title('bare-node')], ['channels', title('ws-loop')],
    ['subscribers', title('waystation')], ['subscribers', title('ws-loop')],
    ['post', title('waystation')], ['post', title('bare-post')],
  ].toSorted((a, b) => Object.keys(PEER_SCENARIOS).indexOf(a[0] as string) - Object.keys(PEER_SCENARIOS).indexOf(b[0] as string)))
  for (const { scenario, medians: { cpu, perSecond, p50 } } of rows) {
    for (const figure of [cpu, perSecond, p50]) assert.ok(typeof figure === 'number' && figure >= 0, `${scenario}: ${figure}`)
  }
  assert.equal(versions['load'], 'bench')
  for (const word of [/^The bench's own generator made the load, because there is no wsload.c .* no floor either/, /^floor is not measured: it is not built/, /^Socket.IO is not measured: only wsload speaks its protocol/]) {
    assert.ok(notes.some((note) => word.test(note)), `${word} in\n${notes.join('\n')}`)
  }
  assert.match(bench.stdout(), /^CPU µs for each delivery, in brackets the ratio to `ws` loop:\n\n\| server \| one channel each \|$/m)
})

test('the options of the bench of peers are told, and its mistakes; what takes long is measured when it is asked for', () => {
  const answer = parsePeerOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- peers', '--servers LIST', '--tools DIR', '--sweep', '--two', '--docs', '--quick', ...Object.keys(PEER_SCENARIOS), ...Object.keys(CONTENDERS)]) assert.ok(answer.help.includes(word), word)
  assert.deepEqual(parsePeerOptions(['--only', 'onne', '--subscribers', '0']), {
    problems: [`--only onne is no row; did you mean one?; the rows are ${Object.keys(PEER_SCENARIOS).join(', ')}`, '--subscribers 0 must be a whole number, 1 or more'],
  })
  const parts = parsePeerOptions(['--servers', 'floor', '--servers', 'nats,nchan'])
  assert.deepEqual('servers' in parts && parts.servers, ['floor', 'nats', 'nchan'])
  assert.deepEqual(parsePeerOptions(['--servers', 'floor,nat']), { problems: [`--servers nat is none; did you mean nats?; there are ${Object.keys(CONTENDERS).join(', ')}`] })
  const only = (...args: string[]) => {
    const options = parsePeerOptions(args)
    return 'only' in options && options.only
  }
  assert.deepEqual(only(), ['one', 'many', 'channels', 'ten', 'rate', 'post', 'idle'])
  assert.deepEqual(only('--only', 'ten', '--only', 'one', '--sweep'), ['one', 'ten', 'subscribers', 'sizes'])
  assert.deepEqual(only('--two').toString(), 'one,many,channels,ten,rate,post,idle,two')
})

test('tools in C are built when they can be, are gone afterwards, and what is missing is said', (t) => {
  const source = folder(t)
  writeFileSync(join(source, 'wsload.c'), 'int main(void) { return 0; }')
  writeFileSync(join(source, 'floor.c'), '#include <liburing-that-nobody-has.h>\nint main(void) { return 0; }')
  const tools = buildTools(source)
  if (tools.wsload === undefined) return assert.match(tools.notes.join(), /because there is no gcc here/)
  assert.ok(existsSync(tools.wsload))
  assert.equal(tools.floor, undefined)
  assert.deepEqual(tools.notes, ['wsload, in C, made the load of WebSockets.', 'There is no floor, and ratios are to the ws loop: liburing is not here.'])
  tools[Symbol.dispose]()
  assert.ok(!existsSync(tools.wsload))
  writeFileSync(join(source, 'wsload.c'), 'nothing')
  using broken = buildTools(source)
  assert.match(broken.notes.join(), /^The bench's own generator made the load, because gcc does not build wsload.c: wsload.c:1:/)
})

test('a run of wsload counts only when every delivery came, once', () => {
  const seen = { rate: 0, deliv_s: 10, cpu_per_M: 2.5, p50_us: 1500, p99_us: 3000, srv_cpu: 0.5, gen_cpu: 0.25, foreign: -0.1, published: 4, delivered: 12, complete: true, stalled: 0 }
  const figures = (changed: object) => figuresOf(JSON.stringify({ ...seen, ...changed }), 3, { server: 0, load: 1 })
  assert.deepEqual(figures({}), { serverLoad: 0.5, generatorLoad: 0.25, elsewhere: 0, perSecond: 10, cpu: 2.5, p50: 1.5, p99: 3 })
  assert.throws(() => figures({ delivered: 11, complete: false }), /^Error: 1 deliveries never came$/)
  assert.throws(() => figures({ delivered: 13 }), /^Error: 1 deliveries came twice$/)
  assert.throws(() => figures({ stalled: 1 }), /never came/)
  assert.throws(() => figures({ deliv_s: 0 }), /^Error: nothing came/)
  assert.throws(() => figures({ p50_us: 0, rate: 50 }), /^Error: the server did not keep up/)
  assert.ok(!('p50' in figures({ p50_us: 0, p99_us: 0 })), 'at full rate a long queue is no fault')
  const found = (delivered: number) => figuresOf(JSON.stringify({ ...seen, published: 10_000, delivered }), 3, undefined, 'nats')
  assert.equal(found(30_003).cpu, 2.5, 'a header that looks like a message is none')
  assert.throws(() => found(30_004), /^Error: 4 deliveries came twice$/)
  assert.throws(() => figures({ published: 10_000, delivered: 30_001 }), /^Error: 1 deliveries came twice$/)
  assert.ok(!('elsewhere' in figuresOf(JSON.stringify(seen), 3, { server: 2, load: 4 })), 'it looks at the first two cores alone')
})

const measuredRow = (scenario: string, of: Record<string, string | number>, ...rounds: Record<string, number>[]) => ({ scenario, of, rounds })

test('peers are compared with the floor of the same table, median with median, and POSTs with node:http', () => {
  const [floor, hub] = [CONTENDERS.floor.title, CONTENDERS.waystation.title]
  const rows = [
    measuredRow('one', { server: hub }, { cpu: 2 }, { cpu: 90 }, { cpu: 3 }), measuredRow('one', { server: floor }, { cpu: 2 }),
    measuredRow('sizes', { bytes: 16, server: hub }, { cpu: 8 }), measuredRow('sizes', { bytes: 128, server: floor }, { cpu: 1 }), measuredRow('sizes', { bytes: 16, server: floor }, { cpu: 4 }),
    measuredRow('rate', { server: floor }, { cpu: 1, p50: 2, p99: 4 }), measuredRow('rate', { server: hub }, { cpu: 1, p50: 3, p99: 2 }),
    measuredRow('post', { server: hub }, { cpu: 10 }), measuredRow('post', { server: CONTENDERS['node-http'].title }, { cpu: 20 }),
    measuredRow('two', { hubs: 'one' }, { perSecond: 10 }), measuredRow('two', { hubs: 'two' }, { perSecond: 15 }),
    measuredRow('idle', { server: hub, channels: 'one' }, { kib: 4 }), measuredRow('many', { server: hub }, { cpu: 1 }), measuredRow('ten', { server: floor }),
  ]
  const found = comparedWith(rows, floor)
  assert.deepEqual(found.slice(0, 12), [
    { ratio: 1.5 }, { ratio: 1 }, { ratio: 2 }, { ratio: 1 }, { ratio: 1 }, { ratio: 1, p50Ratio: 1, p99Ratio: 1 }, { ratio: 1, p50Ratio: 1.5, p99Ratio: 0.5 },
    { ratio: 0.5 }, { ratio: 1 }, { rateRatio: 1 }, { rateRatio: 1.5 }, {},
  ])
  assert.ok(Number.isNaN(found[12]?.['ratio']), 'what the reference has not measured has no ratio')
  assert.equal(summaryOf([measuredRow('one', { server: floor }, { cpu: 2, ratio: 1 }), measuredRow('one', { server: hub }, { cpu: 2.5, ratio: 1.25 }), measuredRow('ten', { server: hub }, { cpu: 0.07, ratio: NaN })], floor),
    `CPU µs for each delivery, in brackets the ratio to ${floor}:\n\n| server | 1 in flight | 10 subscribers |\n| --- | --- | --- |\n| ${floor} | 2.00 (1.00) |  |\n| ${hub} | 2.50 (1.25) | 0.0700 |\n`)
  assert.equal(summaryOf([], floor), '')
})

test('the fixed rate is the highest at which the reference has room and keeps up', async () => {
  const loads = (perMessage: number, most = Infinity) => rateWithRoom(200, 10, async (rate) => ({ serverLoad: rate * perMessage, perSecond: Math.min(rate, most) * 10 }))
  assert.deepEqual([await loads(0.003), await loads(0.0055), await loads(0.01), await loads(1)], [200, 100, 50, 20])
  assert.deepEqual([await loads(0.001, 190), await loads(0.001, 189), await loads(0.001, 60)], [200, 100, 50])
  assert.equal(await rateWithRoom(70, 10, async (rate) => {
    if (rate > 20) throw new Error('1 deliveries never came')
    return { serverLoad: 0.1, perSecond: 200 }
  }), 20)
})

/** Throws unless every element is closed where it must be, and no text or attribute holds what it may not. */
function wellFormed(xml: string): string[] {
  const open: string[] = []
  const texts: string[] = []
  let at = 0
  for (const found of xml.matchAll(/<(\/?)([a-z]+)((?: [\w:-]+="[^"<&]*(?:&#\d+;[^"<&]*)*")*)(\/?)>/g)) {
    const text = xml.slice(at, found.index)
    assert.match(text, /^([^<>&]|&#\d+;)*$/)
    if (text.trim() !== '') texts.push(text)
    at = found.index + found[0].length
    if (found[1] === '/') assert.equal(open.pop(), found[2])
    else if (found[4] !== '/') open.push(found[2] as string)
  }
  assert.deepEqual([open, xml.slice(at).trim()], [[], ''])
  return texts
}

test('the plot is well-formed, has its text escaped, and equal ratios are equally far apart', () => {
  const evil = `<script>"&'\u0000\ud800]]>`
  const series = [{ name: evil, points: [[10, 1], [100, 2], [1_000, 4], [1, 0], [5, NaN]] as const }, { name: 'nothing', points: [] }]
  const panel = { title: evil, x: evil, y: evil, label: (x: number) => `${x} ${evil}`, series }
  const plot = renderPlot(evil, [panel, { ...panel, series: [] }])
  const texts = wellFormed(plot)
  assert.equal(escapeXml('<&>"\''), '&#60;&#38;&#62;&#34;&#39;')
  assert.ok(texts.filter((text) => text.includes(escapeXml(evil))).length >= 11, texts.join('\n'))
  assert.doesNotMatch(plot, /NaN|Infinity|undefined|script>/)
  // The line of the series: three points, the others have no logarithm.
  const [, ...places] = (/<path class="line" d="(M[\d.]+ [\d.]+L[^"]+)"/.exec(plot)?.[1] ?? '').split(/[ML]/).map((pair) => pair.split(' ').map(Number))
  const [[x1 = 0, y1 = 0] = [], [x2 = 0, y2 = 0] = [], [x3 = 0, y3 = 0] = []] = places
  assert.equal(places.length, 3)
  assert.ok(Math.abs(x2 - x1 - (x3 - x2)) < 0.03 && Math.abs(y2 - y1 - (y3 - y2)) < 0.03 && x1 < x2 && y1 > y2, JSON.stringify(places))
})

test('the plot has a panel for what was swept, and there is none when nothing was', () => {
  const swept = plotOf([measuredRow('sizes', { bytes: 65_528, server: '`ws` loop' }, { cpu: 3 }), measuredRow('sizes', { bytes: 25, server: '`ws` loop' }, { cpu: 2 })]) ?? ''
  const texts = wellFormed(swept)
  for (const text of ['64 KiB', '25 B', 'ws loop', 'size of a message']) assert.ok(texts.includes(text), text)
  assert.ok(!texts.includes('subscribers of one channel'))
  assert.equal(plotOf([measuredRow('one', { server: 'Waystation' }, { cpu: 1 })]), undefined)
})

test('a section of a document is replaced, and nothing else', () => {
  assert.equal(withSection('a\n<!-- bench: peers -->\nold $& text\n<!-- end bench -->\nb', 'peers', "new $' text\n"), "a\n<!-- bench: peers -->\nnew $' text\n<!-- end bench -->\nb")
  assert.throws(() => withSection('a', 'peers', 'new'), /no place between/)
  assert.ok(withSection(readFileSync(new URL('../docs/performance.md', import.meta.url), 'utf8'), 'peers', 'new').includes('<!-- bench: peers -->\nnew\n<!-- end bench -->\n'))
})

test('the gate is closed when a ratio got worse by more than a quarter, and says which', () => {
  assert.deepEqual([verdictOf(0.8, 0.5), verdictOf(0.8, 0.8), verdictOf(0.8, 1), verdictOf(0.8, 1.01), verdictOf(undefined, 1), verdictOf(0.8, NaN)], ['holds', 'holds', 'holds', 'worse', 'unknown', 'unknown'])
  assert.equal(sentenceOf('one', 0.8, 0.7), 'one (one channel, one message in flight): a delivery costs 0.700 of the ws loop\'s; recorded is 0.800.')
  assert.equal(sentenceOf('one', 0.8, 1.2), 'one (one channel, one message in flight): a delivery costs 1.20 of the ws loop\'s; recorded is 0.800: worse by 50 %, and 25 % is the most.')
  assert.match(sentenceOf('ten', undefined, 1), /nothing is recorded: npm run bench:gate -- --record$/)
  assert.match(sentenceOf('ten', 0.1, NaN), /nothing was found that could be compared/)
})

test('the gate measures again what seems to be worse, and believes it when it stays so', async () => {
  const rounds = { one: [[2, 2, 2], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], many: [[0.4, 9, 0.5]], ten: [[2], [2], [2], [2]] }
  const asked: string[] = []
  const measure = async (scenario: keyof typeof GATE_SCENARIOS) => {
    asked.push(scenario)
    return (scenario === 'channels' ? undefined : rounds[scenario].shift()) ?? [1]
  }
  const { found, gate, sentences } = await judge(['one', 'many', 'ten'], { one: 0.5, many: 0.5, ten: 0.5 }, measure)
  assert.deepEqual(found, { one: 0.5, many: 0.5, ten: 2 })
  assert.deepEqual(asked, ['one', 'one', 'one', 'many', 'ten', 'ten', 'ten'])
  assert.equal(gate, 'closed')
  assert.deepEqual(sentences.map((sentence) => /worse by 300 %/.test(sentence)), [false, false, true])
  assert.equal((await judge(['channels'], { channels: 0.9 }, measure)).gate, 'open')
  assert.equal((await judge(['channels'], {}, measure)).gate, 'closed', 'what was never recorded holds nothing')
})

test('the ratios that hold are there for both generators and every scenario', () => {
  const recorded = recordedIn(readFileSync(new URL('../bench/gate.json', import.meta.url), 'utf8'))
  for (const generator of ['wsload', 'bench'] as const) {
    assert.deepEqual(Object.keys(recorded[generator]?.ratios ?? {}), Object.keys(GATE_SCENARIOS))
    for (const ratio of Object.values(recorded[generator]?.ratios ?? {})) assert.ok(ratio > 0 && ratio < 10, `${ratio}`)
  }
  assert.deepEqual(recordedIn(undefined), {})
  assert.throws(() => recordedIn('7'), /holds no object/)
  const answer = parseGateOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['--record', '--file FILE', ...Object.keys(GATE_SCENARIOS)]) assert.ok(answer.help.includes(word), word)
})

test('idle WebSockets share a channel, or have one each, those that are there before the others too', async (t) => {
  const paths: string[] = []
  const server = createServer()
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (_, request) => paths.push(request.url ?? ''))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const one of sockets.clients) one.terminate()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const task = { kind: 'idle', connections: 3, before: 2, settle: 0 } as const
  await loadIdle(port, { ...task, on: { path: '/sub/%s', channels: 1 } }, looked)
  assert.deepEqual(new Set(paths.splice(0)), new Set(['/sub/c0000000']))
  await loadIdle(port, { ...task, on: { path: '/sub/%s', channels: 5 } }, looked)
  assert.deepEqual(paths.toSorted(), [0, 1, 2, 3, 4].map((i) => `/sub/c000000${i}`))
})

test('calls of services are compared with those of gRPC of which as many are under way, median with median', () => {
  const row = (by: string, together: number, ...rates: number[]) => ({ scenario: 'direct', of: { 'under way': together, by }, rounds: rates.map((perSecond) => ({ perSecond })) })
  const rows = [row(NAMES['erps-tls'], 1, 10, 90, 30), row(NAMES.grpc, 1, 5, 1, 10), row(NAMES.http, 64, 7), row(NAMES['erps-tls'], 8, 7), row(NAMES.grpc, 64, 14)]
  assert.deepEqual(besideGrpc(rows), [{ ratio: 6 }, { ratio: 1 }, { ratio: 0.5 }, {}, { ratio: 1 }])
})

test('the bench of services measures each number of calls under way once, and by Erps and by POST through a hub', () => {
  const options = parseServiceOptions(['--concurrent', '1', '--pipelined', '8', '--only', 'hub'])
  assert.ok('seconds' in options)
  assert.deepEqual(rowsOf(options).map(({ of }) => Object.values(of)), [[1, 'Erps, TLS'], [1, 'POST, TCP'], [8, 'Erps, TLS'], [8, 'POST, TCP']])
})

test('the options of the bench of services are told, and its mistakes', () => {
  const answer = parseServiceOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- services', '--concurrent N', '--pipelined N', '--quick', ...Object.keys(SERVICE_SCENARIOS)]) assert.ok(answer.help.includes(word), word)
  assert.deepEqual(parseServiceOptions(['--only', 'hubs', '--pipelined', '0']), {
    problems: ['--only hubs is no row; did you mean hub?; the rows are direct, hub', '--pipelined 0 must be a whole number, 1 or more'],
  })
})

test('the options of the bench of links are told, and its mistakes', () => {
  const answer = parseLinkOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- links', '--links N', '--window BYTES', '--quick', ...Object.keys(LINK_SCENARIOS)]) assert.ok(answer.help.includes(word), word)
  const mistaken = parseLinkOptions(['--link', '3', '--window', '1', '--only', 'two'])
  assert.deepEqual('problems' in mistaken && mistaken.problems.length, 3)
})

test('the options of the bench of API keys are told, and its mistakes', () => {
  const answer = parseKeyOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- keys', '--publishers N', '--together N', '--quick', ...Object.keys(KEY_SCENARIOS)]) assert.ok(answer.help.includes(word), word)
  assert.deepEqual(parseKeyOptions(['--only', 'openings', '--together', '0']), {
    problems: ['--only openings is no row; did you mean opening?; the rows are checks, opening, fanout', '--together 0 must be a whole number, 1 or more'],
  })
})

test('the options of the bench of WebSockets are told, and its mistakes', () => {
  const answer = parseSocketOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- sockets', '--large BYTES', '--dir DIR', '--quick', ...Object.keys(SOCKET_SCENARIOS)]) assert.ok(answer.help.includes(word), word)
  assert.deepEqual(parseSocketOptions(['--only', 'pipelines', '--messages', '0']), {
    problems: ['--only pipelines is no row; did you mean pipelined?; the rows are sequential, pipelined, large, bytes', '--messages 0 must be a whole number, 1 or more'],
  })
})

/** A hub of WebSockets that does with each message what the test says. */
async function hubOfSockets(t: TestContext, publish: (message: Notify | NotifyPart, deliver: (body: Buffer) => void, confirm: (subscribers: number) => void) => void): Promise<number> {
  const server = createServer()
  const sockets = new WebSocketServer({ server })
  const proof = { authorization: undefined, tracing: Buffer.alloc(0) }
  let subscriber: WebSocket | undefined
  sockets.on('connection', (socket) => {
    const say = (to: WebSocket | undefined, message: ToSubscriber, body: Buffer = Buffer.alloc(0)): void => to?.send(Buffer.concat([encodeToSubscriber(message, 'minimal'), body]))
    socket.on('message', (data: Buffer) => {
      const message = parseToBroadcaster(data)
      assert.ok(typeof message !== 'string', String(message))
      if (message.type === 'configure') say(socket, { type: 'confirm_configure', nonce: Buffer.alloc(32), ...proof })
      if (message.type === 'subscribe_exact') {
        subscriber ??= socket
        say(socket, { type: 'confirm_subscribe_exact', topic: message.topic, ...proof })
      }
      if (message.type !== 'notify' && message.type !== 'notify_stream') return
      const { identifier, head } = message
      publish(
        message,
        (body) => say(subscriber, { type: 'receive_stream', identifier, part: 0, head, body, ...proof }, body),
        (subscribers) => say(socket, { type: 'confirm_notify', identifier, subscribers, ...proof }),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const one of sockets.clients) one.terminate()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const RELAY = { kind: 'relay', scheme: 'none', subscribers: 1, size: 16, unconfirmed: 1, unfinished: 1, warmup: 0, seconds: 0.05, patience: 0.3 } as const
const LARGE = { kind: 'large', scheme: 'none', size: 65_536, zstd: false, warmup: 0, seconds: 0.05, patience: 0.3 } as const
const FAULTY: readonly [what: string, task: Task, publish: Parameters<typeof hubOfSockets>[1], error: RegExp][] = [
  ['confirms what it never delivers', { ...RELAY, unfinished: 50_000 }, (_, _deliver, confirm) => confirm(1), /nothing came in the time that is measured/],
  ['delivers twice', RELAY, ({ body }, deliver, confirm) => [deliver(body), deliver(body), confirm(1)], /a message came out of its turn, or damaged/],
  ['counts one too many', RELAY, ({ body }, deliver, confirm) => [deliver(body), confirm(2)], /a notify reached 2 subscribers instead of 1/],
  ['damages a large message', LARGE, ({ body }, deliver, confirm) => [deliver(Buffer.concat([body.subarray(1), Buffer.of(0)])), confirm(1)], /another message came/],
  ['compresses nothing though it is offered', { ...LARGE, zstd: true }, () => {}, /the hub announces compressor 1/],
  ['delivers other bytes of a small message', { kind: 'bytes', messages: 2, trained: false }, (_, deliver) => deliver(Buffer.from('{}')), /another message came/],
]

test('a hub of WebSockets that does not confirm the last message makes the measurement fail', async (t) => {
  const kept = Promise.withResolvers<void>()
  let ended = false
  const port = await hubOfSockets(t, ({ body }, deliver, confirm) => {
    deliver(body)
    if (ended) kept.resolve()
    else confirm(1)
  })
  await assert.rejects(runLoad(port, RELAY, undefined, async (phase) => {
    ended = phase === 'end'
    if (ended) await kept.promise
  }), /^Error: 1 messages never came/)
})

for (const [what, load, publish, error] of FAULTY) {
  test(`a hub of WebSockets that ${what} makes the measurement fail`, async (t) => {
    await assert.rejects(runLoad(await hubOfSockets(t, publish), load, undefined, looked), error)
  })
}

test('sizes of the bench of webhooks may have a suffix, and mistakes are told', () => {
  const eight = parseWebhookOptions(['--huge', '8GiB', '--only', 'huge'])
  assert.ok('huge' in eight)
  assert.deepEqual([eight.huge, eight.only], [8 * 2 ** 30, ['huge']])
  assert.deepEqual(parseWebhookOptions(['--huge', '8GB', '--rounds', '1KiB', '--only', 'hugo']), {
    problems: [
      '--only hugo is no row; did you mean huge?; the rows are notify, hanging, huge',
      '--rounds 1KiB must be a whole number, 1 or more',
      '--huge 8GB must be a whole number, 1048576 or more',
    ],
  })
  const answer = parseWebhookOptions(['--help'])
  assert.ok('help' in answer)
  for (const word of ['--huge BYTES', '--dir DIR', ...Object.keys(SCENARIOS)]) assert.ok(answer.help.includes(word), word)
})

/** A hub of one answer, to check that the load counts nothing that did not happen. */
async function replier(t: TestContext, subscribers: number): Promise<number> {
  const server = createServer((message, response) => {
    message.resume().on('end', () => response.end(encodeNotifyResponse({ authorization: '', tracing: Buffer.alloc(0), identifier: Buffer.alloc(6), subscribers })))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a hub that answers before its webhooks have come makes the measurement fail', async (t) => {
  const notify = { kind: 'notify', subscribers: 1, hosts: 'many', publishers: 1, size: 16, scheme: 'none', warmup: 0, seconds: 0.05, patience: 0.1 } as const
  await assert.rejects(loadNotify(await replier(t, 1), notify, looked), /^Error: nothing came in the time that is measured/)
})

test('the load\'s answers are what subscribers would answer, whatever the identifier', () => {
  const url = 'http://127.0.0.1:1234/7'
  const checker = createChecker(schemeOf('hmac', 'broadcasters'), { now: Date.now, lifetime: 120_000, remember: () => true })
  const answerer = createAnswerer(url, 'hmac')
  for (const identifier of ['abcdefgh', 'AAAAAAAA', '\0\0\0\0\0\0\0\0'].map((text) => Buffer.from(text))) {
    const answer = answerer(Buffer.concat([Buffer.alloc(3), identifier]), 3)
    const parsed = parseConfirmReceive(answer.subarray(answer.indexOf('\r\n\r\n') + 4))
    assert.deepEqual(parsed?.identifier, identifier)
    assert.equal(parsed?.subscribers, 1)
    assert.equal(checker.checkBound(parsed?.authorization, claims.confirmReceive({ identifier, subscribers: 1, url, tracing: Buffer.alloc(0) })), 'ok')
  }
})

test('what the machine lacks is told in words: open files, and a way to pin', { skip: process.platform === 'win32' && 'there is no ulimit' }, async (t) => {
  const results = folder(t)
  const args = [MAIN, ...TINY, '--idle', '10000', '--only', 'idle', '--results', results]
  const bench = run(t, '/bin/sh', ['-c', 'ulimit -n 260 && exec "$0" "$@"', process.execPath, ...args], { env: { PATH: '/nowhere' } })
  assert.deepEqual(await bench.exited, { code: 0, signal: null }, bench.stderr())
  assert.match(bench.stdout(), /^Only 60 idle connections instead of 10000: a process may have 260 open files here \(ulimit -n\)\.$/m)
  assert.match(bench.stdout(), /^60 idle connections/m)
  assert.match(bench.stdout(), /^Server and load are not pinned to cores, because there is (no taskset here|only one CPU)/m)
  assert.equal(resultsIn(results).notes.length >= 2, true)
})

test('where the system shows no processes, the server itself says what it has used', async () => {
  await using server = await startServer('hub.ts', undefined, [], '/nowhere')
  const { cpu, rss, peak } = await server.usage()
  assert.ok(cpu > 0 && cpu < 60, `${cpu} s`)
  assert.ok(rss > 2 ** 20, `${rss} bytes`)
  assert.ok(peak >= rss / 2 && peak < 2 ** 34, `${peak} bytes`)
})

test('mistakes in the options are all told, with the option that was meant', async (t) => {
  const bench = run(t, process.execPath, [MAIN, '--round', '3', '--seconds', 'soon', '--idle', '1.5', '--only', 'chanels', '--rate'])
  assert.equal((await bench.exited).code, 2)
  assert.equal(bench.stdout(), '')
  assert.deepEqual(bench.stderr().trim().split('\n'), [
    'bench: --round is no option; did you mean --rounds?',
    'bench: --only chanels is no row; did you mean channels?; the rows are one, many, channels, rate, idle, post',
    'bench: --rate wants a value: --rate N',
    'bench: --seconds soon must be a number, 0.05 or more',
    'bench: --idle 1.5 must be a whole number, 1 or more',
    'bench: "npm run bench -- --help" lists the options',
  ])
})

test('--quick changes what is not stated', () => {
  const quick = parseOptions(['--quick', '--seconds', '2'])
  assert.ok('rows' in quick)
  assert.deepEqual([quick.rounds, quick.seconds, quick.idle, quick.subscribers], [1, 2, 2_000, 1_000])
})

test('--help names every option and every row', () => {
  const answer = parseOptions(['--help', '--nonsense'])
  assert.ok('help' in answer)
  for (const word of ['npm run bench -- webhooks', 'npm run bench -- sockets', 'npm run bench -- keys', '--rounds N', '--seconds S', '--quick', '--profile DIR', ...Object.keys(ROWS)]) assert.ok(answer.help.includes(word), word)
})

test('frames are counted however they are cut, and pings among them are not', () => {
  const messages = [1, 2, 63, 64, 4_095, STAMPS - 1]
  const wire = Buffer.concat(messages.flatMap((stamp, i) => {
    const writer = createFrameWriter(i % 2 === 0 ? 20 : 300)
    const masked = Buffer.alloc(writer.length)
    writer.write(stamp, masked, 0)
    return [frame(0x9, Buffer.alloc(i)), frame(0x1, unmask(masked))]
  }))
  for (let cut = 1; cut < wire.length; cut++) {
    const seen: number[] = []
    const read = createFrameReader((stamp) => seen.push(stamp))
    const state: FrameState = { rest: undefined }
    for (let at = 0; at < wire.length; at += cut) {
      const piece = wire.subarray(at, at + cut)
      read(state, piece, piece.length)
    }
    assert.deepEqual(seen, messages, `in pieces of ${cut}`)
  }
})

function unmask(bytes: Buffer): Buffer {
  const start = ((bytes[1] as number) & 0x7f) < 126 ? 2 : 4
  const mask = bytes.subarray(start, start + 4)
  return Buffer.from(bytes.subarray(start + 4).map((byte, i) => byte ^ (mask[i % 4] as number)))
}

test('percentiles are right within two percent', () => {
  const histogram = createHistogram()
  for (let i = 1; i <= 100_000; i++) histogram.add(i)
  for (const share of [0.01, 0.5, 0.9, 0.99]) {
    const found = histogram.percentile(share)
    assert.ok(Math.abs(found / (share * 100_000) - 1) < 0.02, `${share}: ${found}`)
  }
  assert.ok(Number.isNaN(createHistogram().percentile(0.5)))
})

test('the table shows medians and their ratio', () => {
  const round = (cpu: number) => ({ cpu, serverLoad: 1, generatorLoad: 1, elsewhere: 0 })
  const table = renderTable([{ title: 'a row', ours: [1, 50, 2].map(round), peer: [4, 3, 5].map(round) }])
  assert.match(table, /^ {2}Waystation +2\.000\n {2}ws loop +4\.000\n {2}Waystation \/ ws loop +0\.50$/m)
  assert.equal(median([4, 1, 3, 2]), 2.5)
})

/** A server of a channel that does with each delivery what the test says. */
async function broadcaster(t: TestContext, deliver: (to: WebSocket, data: string, count: number) => void): Promise<number> {
  const server = createServer()
  const sockets = new WebSocketServer({ server })
  let count = 0
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => {
      for (const one of sockets.clients) deliver(one, String(data), ++count)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const one of sockets.clients) one.terminate()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const task = { kind: 'fan-out', subscribers: 3, channels: 1, size: 32, inFlight: 4, warmup: 0.05, seconds: 0.1, patience: 1 } as const
const looked = async (): Promise<void> => {}

test('a delivery that never comes makes the measurement fail', async (t) => {
  const port = await broadcaster(t, (to, data, count) => count !== 20 && to.send(data))
  await assert.rejects(loadFanOut(port, task, looked), /^Error: 1 deliveries never came/)
})

test('a publisher of a keyed topic that gets its own messages makes the measurement fail', async (t) => {
  const port = await broadcaster(t, (to, data) => to.send(data))
  await assert.rejects(loadFanOut(port, { ...task, keyed: { publisher: '/publisher', subscribers: '/subscribers' } }, looked), /^Error: \d+ deliveries came twice/)
})

test('a refused key makes the measurement fail, of a publisher or of a POST', async (t) => {
  const server = createServer((message, response) => {
    response.statusCode = message.headers.authorization === 'Bearer good' && message.url === '/topic' ? 200 : 403
    response.end('.')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  await assert.rejects(runLoad(port, { kind: 'publishers', count: 1, before: 0, together: 1, settle: 0 }, undefined, looked), /^Error: the server refused a WebSocket: HTTP\/1.1 403/)
  const post = { kind: 'post', connections: 1, size: 4, warmup: 0, seconds: 0.05, patience: 1 } as const
  assert.ok((await runLoad(port, { ...post, to: [{ path: '/topic', key: 'good' }] }, undefined, looked)).count > 0)
  await assert.rejects(runLoad(port, { ...post, to: [{ path: '/topic', key: 'bad' }] }, undefined, looked), /^Error: the server answered HTTP\/1.1 403/)
})

test('every answer to a POST is looked at, whole or in pieces, also when it is as long as those before', async (t) => {
  let answers: string[] = []
  const server = createTcpServer((socket) => socket.on('error', () => {}).on('data', () => {
    for (const piece of (answers.length > 1 ? answers.shift() : answers[0] ?? '')?.split('|') ?? []) socket.write(piece)
  }).setNoDelay())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const post = { kind: 'post', connections: 1, size: 4, warmup: 0, seconds: 0.05, patience: 1 } as const
  const [good, pieces, bad] = ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK\n', 'HTTP/1.1 20|0 OK\r\nContent-Length: 3\r\n\r\n|OK\n', 'HTTP/1.1 500 NO\r\nContent-Length: 3\r\n\r\nOK\n']
  answers = [good, pieces, good, good, pieces, good]
  assert.ok((await runLoad(port, post, undefined, looked)).count > 0)
  answers = [good, good, good, bad]
  await assert.rejects(runLoad(port, post, undefined, looked), /^Error: the server answered HTTP\/1.1 500 NO$/)
  answers = [bad]
  assert.ok((await runLoad(port, { ...post, status: 500 }, undefined, looked)).count > 0)
})

test('a server that is behind longer than anyone would wait for it loses nothing, and is measured', async (t) => {
  const waiting: (() => void)[] = []
  const port = await broadcaster(t, (to, data) => waiting.push(() => to.send(data)))
  // One delivery each 50 ms, and the generator gives up when nothing comes for a second.
  const drip = setInterval(() => waiting.shift()?.(), 50)
  t.after(() => clearInterval(drip))
  await loadFanOut(port, { ...task, inFlight: 10 }, looked)
  assert.deepEqual(waiting, [])
})

test('a delivery that comes twice makes the measurement fail', async (t) => {
  const port = await broadcaster(t, (to, data, count) => {
    to.send(data)
    if (count === 20) to.send(data)
  })
  await assert.rejects(loadFanOut(port, task, looked), /^Error: 1 deliveries came twice/)
})
